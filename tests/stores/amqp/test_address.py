"""Tests of AMQP URLs."""

from __future__ import annotations

import pytest

from umbel.errors import ConfigurationError, UnknownOption
from umbel.stores.amqp.address import addresses


@pytest.mark.parametrize(
    ("url", "meant"),
    [
        ("amqp://", ("localhost", 5672, "guest", "guest", "/")),
        ("pyamqp://guest@localhost//", ("localhost", 5672, "guest", "guest", "/")),
        ("amqp://me:p%40ss@host:99/shop", ("host", 99, "me", "p@ss", "shop")),
        ("amqp://me:x@host/%2f", ("host", 5672, "me", "x", "/")),
        ("amqp://me:x@host/a%2fb", ("host", 5672, "me", "x", "a/b")),
        ("amqp://[::1]:99", ("::1", 99, "guest", "guest", "/")),
        ("amqps://host", ("host", 5671, "guest", "guest", "/")),
    ],
)
def test_what_is_missing_is_what_celery_takes(url: str, meant: tuple[object, ...]) -> None:
    (address,) = addresses(url)
    assert address[:5] == meant
    assert address.tls == url.startswith("amqps")


def test_several_servers_are_tried_in_turn() -> None:
    assert [address.host for address in addresses("amqp://a; amqps://b//;")] == ["a", "b"]


def test_options_are_read() -> None:
    (address,) = addresses("amqps://host?heartbeat=30&connect_timeout=1.5&ca_certs=/ca.pem&verify=false")
    assert (address.heartbeat, address.connect_timeout, address.ca_certs, address.verify) == (30, 1.5, "/ca.pem", False)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("", "is empty"),
        ("http://host", "http:// is no scheme"),
        ("amqp://host:port", "port"),
        ("amqp://host?heartbeat=soon", "heartbeat is 'soon'"),
        ("amqp://host?heartbeat=-1", "seconds from 0"),
        ("amqps://host?verify=perhaps", "must be true or false"),
        ("amqp://host?ca_certs=/ca.pem", "for amqps:// alone"),
    ],
)
def test_what_cannot_be_meant_is_refused(url: str, told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        addresses(url)


def test_an_unknown_option_names_the_nearest() -> None:
    with pytest.raises(UnknownOption, match="did you mean 'heartbeat'"):
        addresses("amqp://host?hartbeat=3")


def test_no_password_is_shown() -> None:
    (address,) = addresses("amqp://me:secret@host/shop")
    assert "secret" not in f"{address} {address!r}"
    with pytest.raises(ConfigurationError) as caught:
        addresses("amqp://me:secret@host?heartbeat=x")
    assert "secret" not in str(caught.value)
