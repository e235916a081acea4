"""Sentinels that are asked in TLS where the server is, which is spoken to in TLS."""

from __future__ import annotations

import socket
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.brokers.redis.letters import calls
from tests.servers.certificates import Certificates
from tests.worker.process import wait_until
from tools.ports import free_port
from tools.redis_sentinel import NAME, Sentinel
from tools.redis_server import RedisServer
from umbel.backends.redis import RedisBackend
from umbel.brokers.redis import RedisBroker
from umbel.errors import StoreError, StoreRefused
from umbel.testing.conformance.harness import to

pytestmark = pytest.mark.server


class Site(NamedTuple):
    """A sentinel and what it watches, each with a port that speaks in the clear and one in TLS. ``stranger`` signed
    nobody here."""

    sentinel: Sentinel
    encrypted: int
    ca: Path
    stranger: Path

    def url(self, port: int, scheme: str = "sentinels", host: str = "127.0.0.1", **options: object) -> str:
        query = "".join(f"&{name}={value}" for name, value in options.items())
        return f"{scheme}://{host}:{port}/0?master_name={NAME}{query}"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("tls")
    files = Certificates(folder)
    options = [*files.for_redis(), ("tls-auth-clients", "no")]
    ports = free_port(), free_port()
    server = RedisServer(
        folder / "server",
        *("--tls-port", str(ports[0])),
        *(word for name, value in options for word in (f"--{name}", value)),
    )
    lines = [f'{name} "{value}"' for name, value in options]
    more = [f"tls-port {ports[1]}", "tls-replication yes", *lines]
    sentinel = Sentinel(folder / "sentinel", ports[0], 1, None, *more)
    server.start()
    sentinel.start()
    wait_until(lambda: listens(ports[1]))
    yield Site(sentinel, ports[1], files.ca, files.stranger)
    sentinel.kill()
    server.close()


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return False
    return True


async def send(url: str) -> int:
    """Send one message; gives how many are there then."""
    queue = f"tls-{uuid.uuid4().hex}"
    async with RedisBroker(url) as broker:
        await broker.publish(to(queue, calls(1)))
        return await broker.size(queue)


async def test_both_are_encrypted_and_trusted_by_the_same_authority(site: Site) -> None:
    url = site.url(site.encrypted, ssl_ca_certs=site.ca)
    assert await send(url) == 1
    async with RedisBackend(url) as backend:
        assert await backend.load(["nobody"]) == {}


async def test_sentinels_may_speak_in_the_clear_of_an_encrypted_server(site: Site) -> None:
    assert await send(site.url(site.sentinel.port, sentinel_tls="false", ssl_ca_certs=site.ca)) == 1


async def test_a_sentinel_of_an_unknown_authority_is_refused(site: Site) -> None:
    for url in (site.url(site.encrypted), site.url(site.encrypted, ssl_ca_certs=site.stranger)):
        with pytest.raises(StoreRefused, match=rf"^sentinels://.*:{site.encrypted}/0: its certificate is not trusted"):
            await send(url)


async def test_a_server_of_an_unknown_authority_is_refused_though_its_sentinel_is_not_asked_for_one(site: Site) -> None:
    with pytest.raises(StoreRefused, match=r"^rediss://127\.0\.0\.1:\d+/0: its certificate is not trusted"):
        await send(site.url(site.sentinel.port, sentinel_tls="false", ssl_ca_certs=site.stranger))


async def test_a_sentinel_of_another_name_is_refused(site: Site) -> None:
    with pytest.raises(StoreRefused, match=r"^sentinels://localhost:.*[Hh]ostname mismatch.*localhost"):
        await send(site.url(site.encrypted, host="localhost", ssl_ca_certs=site.ca))


async def test_any_certificate_will_do_where_that_is_asked_for(site: Site) -> None:
    assert await send(site.url(site.encrypted, host="localhost", ssl_cert_reqs="none")) == 1


async def test_a_sentinel_that_speaks_in_the_clear_is_told(site: Site) -> None:
    told = rf"^sentinels://127\.0\.0\.1:{site.sentinel.port}/0: (no TLS connection|no answer within .*, or not in TLS)"
    with pytest.raises(StoreError, match=told):
        await send(site.url(site.sentinel.port, ssl_ca_certs=site.ca, connect_timeout=1))


async def test_a_sentinel_that_speaks_encrypted_is_told_to_who_speaks_in_the_clear(site: Site) -> None:
    with pytest.raises(StoreError, match=rf"^sentinel://127\.0\.0\.1:{site.encrypted}/0: "):
        await send(site.url(site.encrypted, "sentinel"))


async def test_an_encrypted_server_is_told_to_who_has_asked_for_none(site: Site) -> None:
    with pytest.raises(StoreError, match=r"^redis://127\.0\.0\.1:\d+/0: "):
        await send(site.url(site.encrypted, "sentinel", sentinel_tls="true", ssl_ca_certs=site.ca))
