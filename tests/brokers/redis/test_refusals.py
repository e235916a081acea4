"""Servers that cannot be used: one clear error each, which names the URL and not the password."""

from __future__ import annotations

import tempfile
import uuid
from pathlib import Path

import pytest

from tests.brokers.redis.letters import call, calls
from tools.ports import free_port
from tools.redis_server import RedisServer
from umbel.app import Umbel
from umbel.brokers.redis import RedisBroker
from umbel.errors import PublishError, StoreError, StoreRefused, StoreUnreachable
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
