"""Servers that cannot be used: one clear error each, which names the URL and not the password."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import trustme

from tests.brokers.redis.letters import call, calls
from tools.rabbitmq import free_port
from tools.redis_server import RedisServer
from umbel.app import Umbel
from umbel.brokers.redis import RedisBroker
from umbel.errors import ConfigurationError, PublishError, StoreError, StoreRefused, StoreUnreachable
from umbel.model import Route
from umbel.testing.conformance.harness import take, to

pytestmark = pytest.mark.server


@pytest.mark.parametrize(
    ("change", "error", "told"),
    [
        (("redis://", "redis://nobody:secret@"), StoreRefused, "login refused: the user or the password is wrong"),
        (("/0", "/99"), StoreRefused, "there is no database 99"),
        (("127.0.0.1", "no.such.host.invalid"), StoreUnreachable, "no such host"),
        (("redis://127.0.0.1", "redis+socket:///no/such/socket"), StoreUnreachable, "No such file"),
    ],
)
async def test_a_wrong_url_is_told_at_once(
    redis: RedisServer, change: tuple[str, str], error: type[StoreError], told: str
) -> None:
    url = redis.url.replace(*change, 1)
    if url.startswith("redis+socket"):
        url = "redis+socket://:secret@/no/such/socket"
    async with RedisBroker(url) as broker:
        with pytest.raises(error, match=told) as caught:
            await broker.publish(to("mail", calls(1)))
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


async def test_a_server_that_speaks_in_the_clear_is_told_to_who_wants_it_encrypted(redis: RedisServer) -> None:
    url = redis.url.replace("redis://", "rediss://") + "?connect_timeout=0.5"
    async with RedisBroker(url) as broker:
        with pytest.raises(StoreUnreachable, match=r"no answer within 0\.5 s, or not in TLS"):
            await broker.publish(to("mail", calls(1)))


async def test_a_closed_port_is_told_at_once() -> None:
    async with RedisBroker(f"redis://127.0.0.1:{free_port()}/0") as broker:
        with pytest.raises(StoreUnreachable, match=r"redis://127\.0\.0\.1:\d+/0: "):
            await broker.publish(to("mail", calls(1)))


async def test_a_password_that_is_missing_or_wrong_is_told(tmp_path: Path) -> None:
    server = RedisServer(tmp_path / "server", "--requirepass", "right")
    server.start()
    try:
        for login, told in (("", "wants a password"), (":secret@", "is wrong"), ("default:secret@", "is wrong")):
            async with RedisBroker(server.url.replace("redis://", f"redis://{login}")) as broker:
                with pytest.raises(StoreRefused, match=told) as caught:
                    await broker.publish(to("mail", calls(1)))
                assert "secret" not in str(caught.value)
        async with RedisBroker(server.url.replace("redis://", "redis://:right@")) as broker:
            await broker.publish(to("mail", calls(1)))
    finally:
        server.close()


async def test_a_replica_is_told_and_the_primary_of_several_is_found(tmp_path: Path, redis: RedisServer) -> None:
    replica = RedisServer(tmp_path / "replica", "--replicaof", f"127.0.0.1 {redis.port}")
    replica.start()
    try:
        async with RedisBroker(replica.url) as broker:
            with pytest.raises(StoreUnreachable, match="it is a replica, which takes no writes: name the primary"):
                await broker.publish(to("mail", calls(1)))
        queue = uuid.uuid4().hex
        async with RedisBroker(f"{replica.url};{redis.url}") as broker:
            envelope = call()
            await broker.publish(to(queue, [envelope]))
            assert [delivery.envelope.id for delivery in await take(broker, queue, 1)] == [envelope.id]
    finally:
        replica.close()


async def test_a_user_who_may_not_do_what_is_needed_is_told(tmp_path: Path) -> None:
    server = RedisServer(tmp_path / "server")
    server.start()
    try:
        server.command("ACL", "SETUSER", "reader", "on", ">secret", "~*", "&*", "+@read", "+hello", "+auth")
        async with RedisBroker(server.url.replace("redis://", "redis://reader:secret@")) as broker:
            with pytest.raises(StoreRefused, match=r"forbidden: .*lpush") as caught:
                await broker.publish(to("mail", calls(1)))
        assert "secret" not in str(caught.value)
    finally:
        server.close()


def test_a_caller_is_told_at_once_and_without_the_password() -> None:
    app = Umbel("shop", broker=f"redis://:secret@127.0.0.1:{free_port()}/0", set_as_current=False)

    @app.task
    def nothing() -> None: ...

    with pytest.raises(PublishError, match=r"redis://:\*\*@127\.0\.0\.1") as caught:
        nothing.delay()
    assert "secret" not in str(caught.value)
    app.close()


# -- other ways to a server


async def test_a_unix_socket_is_a_way_to_it(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:  # a path of pytest's may be too long for a socket
        server = RedisServer(tmp_path / "server", "--unixsocket", f"{folder}/redis.sock")
        server.start()
        try:
            async with RedisBroker(f"redis+socket://{folder}/redis.sock?virtual_host=2") as broker:
                await broker.publish([(Route("mail"), call())])
                assert await broker.size("mail") == 1
            assert server.command("-n", "2", "LLEN", "mail") == "1"
        finally:
            server.close()


class Site(NamedTuple):
    """A server that wants a client's certificate, and the files of both; ``stranger`` signed nobody here."""

    port: int
    ca: Path
    certificate: Path
    stranger: Path

    def url(self, host: str = "127.0.0.1", **options: object) -> str:
        """Where it is, with these options and a certificate to show."""
        options = {"ssl_certfile": self.certificate, "ssl_keyfile": self.certificate} | options
        query = "&".join(f"{name}={value}" for name, value in options.items() if value is not None)
        return f"rediss://{host}:{self.port}/0?{query}"


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
    files = ["--tls-cert-file", "server.pem", "--tls-key-file", "server.key", "--tls-ca-cert-file", "ca.pem"]
    words = [str(folder / word) if "." in word else word for word in files]
    server = RedisServer(folder / "server", "--tls-port", str(port), *words)
    server.start()
    yield Site(port, folder / "ca.pem", folder / "client.pem", folder / "stranger.pem")
    server.close()


async def send(url: str) -> int:
    """Send one message; gives how many are there then."""
    queue = f"tls-{uuid.uuid4().hex}"
    async with RedisBroker(url) as broker:
        await broker.publish(to(queue, calls(1)))
        return await broker.size(queue)


async def test_an_encrypted_server_whose_authority_is_named_is_trusted(site: Site) -> None:
    assert await send(site.url(ssl_ca_certs=site.ca)) == 1


async def test_a_server_of_an_unknown_authority_is_refused(site: Site) -> None:
    with pytest.raises(StoreRefused, match="its certificate is not trusted") as caught:
        await send(site.url())
    assert "\n" not in str(caught.value)
    with pytest.raises(StoreRefused, match="its certificate is not trusted"):
        await send(site.url(ssl_ca_certs=site.stranger))


async def test_a_server_of_another_name_is_refused(site: Site) -> None:
    with pytest.raises(StoreRefused, match=r"its certificate is not trusted: .*[Hh]ostname mismatch.*localhost"):
        await send(site.url(host="localhost", ssl_ca_certs=site.ca))


async def test_any_certificate_will_do_where_that_is_asked_for(site: Site) -> None:
    assert await send(site.url(host="localhost", ssl_cert_reqs="none")) == 1


async def test_a_server_that_wants_a_certificate_says_so(site: Site) -> None:
    # Whether its word comes before the end of the connection is a matter of luck.
    with pytest.raises(StoreError, match=r"no TLS connection: .*CERTIFICATE_REQUIRED|for want of a certificate"):
        await send(site.url(ssl_ca_certs=site.ca, ssl_certfile=None, ssl_keyfile=None))


@pytest.mark.parametrize("option", ["ssl_ca_certs", "ssl_certfile"])
async def test_a_file_that_is_missing_is_named(site: Site, option: str) -> None:
    with pytest.raises(ConfigurationError, match=r"/0: nowhere\.pem.* cannot be read"):
        await send(site.url(**{option: "nowhere.pem"}))


async def test_a_server_that_speaks_encrypted_is_told_to_who_speaks_in_the_clear(site: Site) -> None:
    async with RedisBroker(f"redis://127.0.0.1:{site.port}/0") as broker:
        with pytest.raises(StoreError, match=rf"127\.0\.0\.1:{site.port}"):
            await broker.publish(to("mail", calls(1)))
