"""Encrypted connections to servers that want a client's certificate, with certificates that the test makes."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest

from tests.servers.certificates import Certificates
from tools.ports import free_port
from tools.rabbitmq import RabbitMQ
from tools.redis_server import RedisServer
from umbel.brokers.amqp import AmqpBroker
from umbel.brokers.redis import RedisBroker
from umbel.errors import ConfigurationError, StoreError, StoreRefused
from umbel.model import Message, Queue, Route
from umbel.wire import task_v2

pytestmark = pytest.mark.server

RABBITMQ = """
listeners.ssl.1 = 127.0.0.1:{port}
ssl_options.cacertfile = {files.ca}
ssl_options.certfile = {files.server}
ssl_options.keyfile = {files.key}
ssl_options.verify = verify_peer
ssl_options.fail_if_no_peer_cert = true
"""


class Kind(NamedTuple):
    """What differs between the brokers: ``url`` and ``clear`` have the host and the port to fill in, ``prefix`` stands
    before the options that name files, ``unverified`` is the option that takes any certificate."""

    broker: Callable[[str], AmqpBroker | RedisBroker]
    url: str
    clear: str
    prefix: str
    unverified: str
    wanted: tuple[type[StoreError], str]
    """What a server says that wants a certificate."""


KINDS = {
    "rabbitmq": Kind(
        AmqpBroker,
        "amqps://guest:guest@{}:{}//",
        "amqp://guest:guest@{}:{}//",
        "",
        "verify=false",
        (StoreRefused, r"no TLS connection: .*CERTIFICATE_REQUIRED"),
    ),
    "redis": Kind(
        RedisBroker,
        "rediss://{}:{}/0",
        "redis://{}:{}/0",
        "ssl_",
        "ssl_cert_reqs=none",
        # Whether its word comes before the end of the connection is a matter of luck.
        (StoreError, r"no TLS connection: .*CERTIFICATE_REQUIRED|for want of a certificate"),
    ),
}


class Site(NamedTuple):
    """An encrypted server."""

    kind: Kind
    port: int
    files: Certificates

    def url(
        self, ca: object = None, client: object = None, key: object = None, host: str = "127.0.0.1", more: str = ""
    ) -> str:
        """Where it is, with these files named."""
        named = {"ca_certs": ca, "certfile": client, "keyfile": key}
        options = [f"{self.kind.prefix}{name}={value}" for name, value in named.items() if value is not None]
        return f"{self.kind.url.format(host, self.port)}?{'&'.join([*options, *([more] if more else [])])}"

    async def send(self, ca: object = None, host: str = "127.0.0.1", more: str = "") -> int:
        """Send one message, with a certificate to show; gives how many are there then."""
        return await self.send_to(self.url(ca, self.files.client, self.files.client, host, more))

    async def send_to(self, url: str) -> int:
        queue = f"tls-{uuid.uuid4().hex}"
        async with self.kind.broker(url) as broker:
            envelope = task_v2.encode(Message(task="shop.add", id=str(uuid.uuid4())), broker.form)
            await broker.declare(Queue(queue))
            await broker.publish([(Route(queue), envelope)])
            return await broker.size(queue)


@pytest.fixture(scope="module", params=KINDS)
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    files, port = Certificates(tmp_path_factory.mktemp("tls")), free_port()
    folder = tmp_path_factory.mktemp("server")
    server: RabbitMQ | RedisServer
    if request.param == "rabbitmq":
        server = RabbitMQ(folder, RABBITMQ.format(port=port, files=files))
    else:
        words = [word for name, value in files.for_redis() for word in (f"--{name}", value)]
        server = RedisServer(folder, "--tls-port", str(port), *words)
    server.start()
    yield Site(KINDS[request.param], port, files)
    server.close()


async def test_a_server_whose_authority_is_named_is_trusted(site: Site) -> None:
    assert await site.send(site.files.ca) == 1


async def test_a_server_of_an_unknown_authority_is_refused(site: Site) -> None:
    with pytest.raises(StoreRefused, match="its certificate is not trusted") as caught:
        await site.send()
    assert "\n" not in str(caught.value)
    with pytest.raises(StoreRefused, match="its certificate is not trusted"):
        await site.send(site.files.stranger)


async def test_a_server_of_another_name_is_refused(site: Site) -> None:
    with pytest.raises(StoreRefused, match=r"its certificate is not trusted: .*[Hh]ostname mismatch.*localhost"):
        await site.send(site.files.ca, host="localhost")


async def test_any_certificate_will_do_where_that_is_asked_for(site: Site) -> None:
    assert await site.send(host="localhost", more=site.kind.unverified) == 1


async def test_a_server_that_wants_a_certificate_says_so(site: Site) -> None:
    error, told = site.kind.wanted
    with pytest.raises(error, match=told):
        await site.send_to(site.url(site.files.ca))


@pytest.mark.parametrize("missing", ["ca", "client"])
async def test_a_file_that_is_missing_is_named(site: Site, missing: str) -> None:
    named = {"ca": None, "client": site.files.client} | {missing: "nowhere.pem"}
    with pytest.raises(ConfigurationError, match=rf":{site.port}//?0?: nowhere\.pem.* cannot be read"):
        await site.send_to(site.url(named["ca"], named["client"], site.files.client))


async def test_a_server_that_speaks_encrypted_is_told_to_who_speaks_in_the_clear(site: Site) -> None:
    with pytest.raises(StoreError, match=rf"127\.0\.0\.1:{site.port}"):
        await site.send_to(site.kind.clear.format("127.0.0.1", site.port))
