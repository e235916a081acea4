"""Tests of Redis URLs."""

from __future__ import annotations

import pytest

from umbel.errors import ConfigurationError, UnknownOption
from umbel.stores.redis.address import addresses


@pytest.mark.parametrize(
    ("url", "meant"),
    [
        ("redis://", ("localhost", 6379, "", "", 0, "")),
        ("redis://host", ("host", 6379, "", "", 0, "")),
        ("redis://:p%40ss@host:99/3", ("host", 99, "", "p@ss", 3, "")),
        ("redis://me:x@host//2", ("host", 6379, "me", "x", 2, "")),
        ("redis://host?db=4", ("host", 6379, "", "", 4, "")),
        ("redis://[::1]:99", ("::1", 99, "", "", 0, "")),
        ("rediss://host", ("host", 6379, "", "", 0, "")),
        ("valkey://host/1", ("host", 6379, "", "", 1, "")),
        ("redis+socket:///run/redis.sock", ("", 0, "", "", 0, "/run/redis.sock")),
        ("redis+socket://me:x@/run/redis.sock?virtual_host=/5", ("", 0, "me", "x", 5, "/run/redis.sock")),
    ],
)
def test_what_is_missing_is_what_celery_takes(url: str, meant: tuple[object, ...]) -> None:
    (address,) = addresses(url)
    assert address[:6] == meant
    assert address.tls == url.startswith("rediss")


def test_several_servers_are_tried_in_turn() -> None:
    assert [address.host for address in addresses("redis://a; rediss://b/1;")] == ["a", "b"]


def test_sentinels_share_what_one_of_them_says() -> None:
    first, second = addresses("sentinel://a;sentinel://:x@b:99/3?master_name=m&global_keyprefix=p&sentinel_password=y")
    assert (first.host, first.port, second.host, second.port) == ("a", 26379, "b", 99)
    assert first[2:] == second[2:]
    assert (first.password, first.db, first.prefix, first.master, first.sentinel_password) == ("x", 3, "p", "m", "y")
    assert str(first) == "sentinel://:**@a:26379/3"
    assert first.place != addresses("sentinel://a/3?master_name=n&global_keyprefix=p")[0].place


@pytest.mark.parametrize(
    ("url", "sentinel", "primary"),
    [
        ("sentinel://a?master_name=m", False, False),
        ("sentinels://a?master_name=m", True, True),
        ("sentinels://a?master_name=m&sentinel_tls=false", False, True),
        ("sentinel://a?ssl_ca_certs=/ca.pem&master_name=m&sentinel_tls=yes", True, False),
        ("sentinels://b;sentinels://a?master_name=m&sentinel_tls=0", False, True),
        ("sentinel://b;sentinels://a?master_name=m", True, True),
    ],
)
def test_sentinels_and_what_they_name_may_each_be_encrypted(url: str, sentinel: bool, primary: bool) -> None:
    for address in addresses(url):
        assert (address.sentinel.tls, address.primary("c", 7).tls) == (sentinel, primary)
    assert str(address.sentinel) == f"sentinel{'s' * sentinel}://a:26379/0"
    assert str(address.primary("c", 7)) == f"redis{'s' * primary}://c:7/0"


def test_servers_of_a_cluster_share_what_one_of_them_says() -> None:
    first, second = addresses(
        "redisclusters://a;redisclusters://me:x@b:99?global_keyprefix=p&ssl_ca_certs=/ca.pem&lease=5"
    )
    assert (first.host, first.port, second.host, second.port) == ("a", 6379, "b", 99)
    assert first[2:] == second[2:]
    assert (first.password, first.db, first.prefix, first.lease) == ("x", 0, "p", 5)
    assert first.tls
    assert first.cluster
    assert [str(each) for each in (first, second)] == ["redisclusters://me:**@a:6379", "redisclusters://me:**@b:99"]
    (plain,) = addresses("rediscluster://a/0")
    assert (plain.tls, plain.cluster, str(plain)) == (False, True, "rediscluster://a:6379")


def test_options_are_read() -> None:
    query = (
        "visibility_timeout=15&lease=5&connect_timeout=1.5&global_keyprefix=x:&ssl_ca_certs=/ca.pem&ssl_cert_reqs=none"
    )
    (address,) = addresses(f"rediss://host?{query}")
    assert (address.visibility_timeout, address.connect_timeout, address.prefix) == (15, 1.5, "x:")
    assert (address.lease, addresses("redis://host")[0].lease) == (5, 25)
    assert (address.ca_certs, address.verify) == ("/ca.pem", False)
    assert addresses("rediss://host?ssl_cert_reqs=CERT_REQUIRED")[0].verify


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("", "is empty"),
        ("http://host", "http:// is no scheme"),
        ("redis://host:port", "port"),
        ("redis://host/shop", "the database is 'shop'"),
        ("redis://host/-1", "the database is '-1'"),
        ("redis+socket://", "the path of the socket is missing"),
        ("redis://host?visibility_timeout=soon", "visibility_timeout is 'soon'"),
        ("redis://host?connect_timeout=0", "more than 0"),
        ("rediss://host?ssl_cert_reqs=perhaps", "must be required or none"),
        ("redis://host?ssl_ca_certs=/ca.pem", "for rediss:// alone"),
        ("redis://host?master_name=m", "for sentinel:// alone"),
        ("rediss://host?sentinel_tls=true", "for sentinel:// alone"),
        ("sentinel://host?master_name=m&ssl_ca_certs=/ca.pem", "for sentinels://, or sentinel_tls=true, alone"),
        ("sentinels://host?master_name=m&sentinel_tls=perhaps", "sentinel_tls is 'perhaps' and must be true or false"),
        ("sentinel://host", "write sentinel://host:26379/0\\?master_name=mymaster"),
        ("sentinel://host?master_name=m;redis://host", "cannot be named together"),
        ("rediscluster://host;redis://host", "all servers of a cluster are named with rediscluster://"),
        ("rediscluster://host;redisclusters://host", "or all with redisclusters://"),
        ("rediscluster://host/3", "rediscluster://host:6379: a cluster has database 0 alone, and the URL says 3"),
        ("rediscluster://host?db=1", "database 0 alone, and the URL says 1; use a global_keyprefix"),
        ("rediscluster://host?global_keyprefix={x}", "global_keyprefix is '{x}' and must have no braces"),
        ("rediscluster://host?ssl_ca_certs=/ca.pem", "for redisclusters:// alone"),
        ("rediscluster://host?master_name=m", "for sentinel:// alone"),
    ],
)
def test_what_cannot_be_meant_is_refused(url: str, told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        addresses(url)


def test_an_unknown_option_names_the_nearest() -> None:
    with pytest.raises(UnknownOption, match="did you mean 'visibility_timeout'"):
        addresses("redis://host?visibility_timout=3")


@pytest.mark.parametrize("url", ["redis://me:secret@host/1", "redis+socket://:secret@/run/redis.sock"])
def test_no_password_is_shown(url: str) -> None:
    (address,) = addresses(url)
    assert "secret" not in f"{address} {address!r}"
    assert ":**@" in str(address)
    with pytest.raises(ConfigurationError) as caught:
        addresses(f"{url}?connect_timeout=x")
    assert "secret" not in str(caught.value)


def test_the_same_keys_are_known_whoever_logs_in() -> None:
    here, there = addresses("redis://me:x@host/1")[0], addresses("redis://:y@host:6379?db=1")[0]
    assert here.place == there.place
    assert here.place != addresses("redis://host/2")[0].place
    assert here.place != addresses("redis://host/1?global_keyprefix=x")[0].place
