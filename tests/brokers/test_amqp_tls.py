"""Encrypted connections to RabbitMQ, with certificates that the test makes."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import trustme

from tools.rabbitmq import RabbitMQ, free_port
from umbel.brokers.amqp import AmqpBroker
from umbel.errors import ConfigurationError, StoreRefused
from umbel.model import Envelope, Queue, Route
from umbel.wire.amqp import pack_properties

pytestmark = pytest.mark.server


class Site(NamedTuple):
    """A server that wants a client's certificate, and the files of both; ``stranger`` signed nobody here."""

    port: int
    ca: Path
    certificate: Path
    stranger: Path

    def url(self, host: str = "127.0.0.1", **options: object) -> str:
        """Where it is, with these options and a certificate to show."""
        options = {"certfile": self.certificate, "keyfile": self.certificate} | options
        query = "&".join(f"{name}={value}" for name, value in options.items() if value is not None)
        return f"amqps://guest:guest@{host}:{self.port}//?{query}"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("tls")
    ca, stranger = trustme.CA(), trustme.CA()
    ca.cert_pem.write_to_path(folder / "ca.pem")
    stranger.cert_pem.write_to_path(folder / "stranger.pem")
    own, client = ca.issue_cert("127.0.0.1"), ca.issue_cert("client@example.org")
    own.cert_chain_pems[0].write_to_path(folder / "server.pem")
    own.private_key_pem.write_to_path(folder / "server.key")
    client.private_key_and_cert_chain_pem.write_to_path(folder / "client.pem")
    port = free_port()
    config = f"""
listeners.ssl.1 = 127.0.0.1:{port}
ssl_options.cacertfile = {folder}/ca.pem
ssl_options.certfile = {folder}/server.pem
ssl_options.keyfile = {folder}/server.key
ssl_options.verify = verify_peer
ssl_options.fail_if_no_peer_cert = true
"""
    server = RabbitMQ(tmp_path_factory.mktemp("server"), config)
    server.start()
    yield Site(port, folder / "ca.pem", folder / "client.pem", folder / "stranger.pem")
    server.close()


async def send(url: str) -> int:
    """Send one message; gives how many are there then."""
    queue, task_id = f"tls-{uuid.uuid4().hex}", str(uuid.uuid4())
    head = pack_properties({"content_type": "application/json", "correlation_id": task_id})
    async with AmqpBroker(url) as broker:
        await broker.declare(Queue(queue))
        await broker.publish([(Route(queue), Envelope("amqp", task_id, head, b"[]"))])
        return await broker.size(queue)


async def test_a_server_whose_authority_is_named_is_trusted(site: Site) -> None:
    assert await send(site.url(ca_certs=site.ca)) == 1


async def test_a_server_of_an_unknown_authority_is_refused(site: Site) -> None:
    with pytest.raises(StoreRefused, match="its certificate is not trusted") as caught:
        await send(site.url())
    assert "\n" not in str(caught.value)
    with pytest.raises(StoreRefused, match="its certificate is not trusted"):
        await send(site.url(ca_certs=site.stranger))


async def test_a_server_of_another_name_is_refused(site: Site) -> None:
    with pytest.raises(StoreRefused, match=r"its certificate is not trusted: .*[Hh]ostname mismatch.*localhost"):
        await send(site.url(host="localhost", ca_certs=site.ca))


async def test_any_certificate_will_do_where_that_is_asked_for(site: Site) -> None:
    assert await send(site.url(host="localhost", verify="false")) == 1


async def test_a_server_that_wants_a_certificate_says_so(site: Site) -> None:
    with pytest.raises(StoreRefused, match=r"no TLS connection: .*CERTIFICATE_REQUIRED"):
        await send(site.url(ca_certs=site.ca, certfile=None, keyfile=None))


@pytest.mark.parametrize("option", ["ca_certs", "certfile"])
async def test_a_file_that_is_missing_is_named(site: Site, option: str) -> None:
    with pytest.raises(ConfigurationError, match=r"//: nowhere\.pem.* cannot be read"):
        await send(site.url(**{option: "nowhere.pem"}))
