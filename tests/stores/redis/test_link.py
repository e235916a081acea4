"""Connections to Redis servers: asking, losing, making again, and what servers say."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from hiredis import ReplyError

from tools.ports import free_port
from tools.redis_server import RedisServer
from umbel.errors import StoreError, StoreFull, StoreRefused, StoreUnreachable, StoreUnsuitable
from umbel.stores.redis.address import Address, addresses
from umbel.stores.redis.link import Link, Script
from umbel.stores.redis.opening import connect
from umbel.stores.redis.refusals import refusal

pytestmark = pytest.mark.server


@pytest.fixture
async def link(redis: RedisServer) -> AsyncIterator[Link]:
    made = Link(addresses(redis.url))
    yield made
    await made.close()


@asynccontextmanager
async def speaking(*sayings: bytes, hangs_up: bool = False, pause: float = 0.0) -> AsyncIterator[Address]:
    """A server that says the first of these to the first thing that it is told, the second to the second, and all that
    are left to the third, after pauses; then it is silent."""
    over = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for number, saying in enumerate(sayings):
            if number < 2:
                await reader.read(65536)
            await asyncio.sleep(pause)
            writer.write(saying)
        if not hangs_up:
            await over.wait()
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        gone.set()

    gone = asyncio.Event()
    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server:
        yield Address("127.0.0.1", server.sockets[0].getsockname()[1], "", "secret", connect_timeout=60.0)
        over.set()
        await gone.wait()


HELLO = b"*2\r\n$4\r\nrole\r\n$6\r\nmaster\r\n"


async def test_what_many_ask_at_once_is_answered_to_each(link: Link) -> None:
    answers = await asyncio.gather(*(link.ask("ECHO", f"{n}") for n in range(500)))
    assert answers == [b"%d" % n for n in range(500)]


async def test_what_is_asked_one_after_the_other_is_done_so(link: Link) -> None:
    assert await link.ask_all([("SET", "one", "1"), ("INCR", "one"), ("GET", "one")]) == [b"OK", 2, b"2"]


async def test_who_asks_and_leaves_disturbs_nobody(link: Link) -> None:
    for n in range(50):
        leaving = asyncio.ensure_future(link.ask("ECHO", "gone"))
        await asyncio.sleep(0)
        leaving.cancel()
        assert await link.ask("ECHO", f"{n}") == b"%d" % n
        with contextlib.suppress(asyncio.CancelledError):
            await leaving


async def test_a_script_that_the_server_has_forgotten_is_told_again(link: Link) -> None:
    script = Script("overdue")
    for _ in range(2):
        assert len(await link.run(script, ["no-such-hash", "no-such-zset"], [1, 1, ""])) == 1
        await link.ask("SCRIPT", "FLUSH")


async def test_a_connection_that_the_server_ends_is_made_again(link: Link) -> None:
    number = await link.ask("CLIENT", "ID")
    with pytest.raises(StoreUnreachable) as caught:
        await asyncio.gather(link.ask("CLIENT", "KILL", "ID", number, "SKIPME", "no"), link.ask("BLPOP", "empty", 0))
    assert caught.value.doubtful
    assert await link.ask("CLIENT", "ID") != number


async def test_a_server_that_falls_silent_is_left_in_time() -> None:
    async with speaking(HELLO) as address:
        link = Link([address], 0.3)
        with pytest.raises(StoreUnreachable, match="no answer for"):
            await link.ask("PING")


async def test_an_answer_that_comes_slowly_is_waited_for() -> None:
    async with speaking(HELLO, b"$40\r\n", *[b"slow"] * 10, b"\r\n", pause=0.15) as address:
        link = Link([address], 1.5)
        assert await link.ask("GET", "x") == b"slow" * 10
        await link.close()


@pytest.mark.parametrize(
    ("said", "error", "told"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", StoreRefused, "does not speak as Redis does"),
        (b"-ERR unknown command `HELLO`\r\n", StoreUnsuitable, "older than Redis 6"),
        (b"-WRONGPASS invalid username-password pair\r\n", StoreRefused, "the user or the password is wrong"),
        (b"-NOAUTH HELLO must be called\r\n", StoreRefused, "the server wants a password"),
        (b"-DENIED Redis is running in protected mode\r\n", StoreRefused, "protected-mode"),
        (b"-LOADING Redis is loading the dataset in memory\r\n", StoreUnreachable, "reading its data"),
        (b"-ERR max number of clients reached\r\n", StoreUnreachable, "no more connections"),
        (b"*2\r\n$4\r\nrole\r\n$7\r\nreplica\r\n", StoreUnreachable, "it is a replica"),
        (b"*2\r\n$4\r\nmode\r\n$7\r\ncluster\r\n", StoreUnsuitable, "node of a cluster"),
    ],
)
async def test_a_server_that_cannot_be_used_is_told_at_once(said: bytes, error: type[StoreError], told: str) -> None:
    async with speaking(said) as address:
        with pytest.raises(error, match=told) as caught:
            await connect([address], 5.0)
    assert "secret" not in str(caught.value)
    assert f"127.0.0.1:{address.port}" in str(caught.value)


async def test_a_server_that_hangs_up_or_says_nothing_is_told() -> None:
    async with speaking(b"", hangs_up=True) as address:
        with pytest.raises(StoreUnreachable, match="connection was lost"):
            await connect([address], 5.0)
    async with speaking() as address:
        with pytest.raises(StoreUnreachable, match=r"no answer within 0\.3 s"):
            await connect([address._replace(connect_timeout=0.3)], 5.0)


async def test_the_next_server_of_several_is_tried(redis: RedisServer) -> None:
    link = Link([*addresses(f"redis://127.0.0.1:{free_port()}"), *addresses(redis.url)])
    assert await link.ask("PING") == b"PONG"
    await link.close()


@pytest.mark.parametrize(
    ("said", "error", "told"),
    [
        ("OOM command not allowed when used memory > 'maxmemory'.", StoreFull, "no memory is left for it"),
        ("MISCONF Errors writing to the AOF file", StoreFull, "cannot write to its disk"),
        ("READONLY You can't write against a read only replica.", StoreUnreachable, "it is a replica"),
        ("MOVED 3999 127.0.0.1:6381", StoreUnsuitable, "node of a cluster"),
        ("ASK 3999 127.0.0.1:6381", StoreUnsuitable, "keys are spread: write rediscluster://:**@host:6379 "),
        ("NOPERM this user has no permissions", StoreRefused, "forbidden"),
        ("ERR invalid DB index", StoreRefused, "there is no database 7"),
        ("ERR something else", StoreError, "something else"),
    ],
)
def test_what_a_server_says_is_told_in_umbels_terms(said: str, error: type[StoreError], told: str) -> None:
    (address,) = addresses("redis://:secret@host/7")
    made = refusal(address, said)
    assert type(made) is error
    assert told in str(made)
    assert str(made).startswith("redis://:**@host:6379/7: ")


@pytest.mark.parametrize(
    ("url", "meant"),
    [
        ("rediss://host:7000", "write redisclusters://host:7000 "),
        ("redis+socket:///run/redis.sock", "write rediscluster://host:6379 "),
    ],
)
def test_the_url_of_a_cluster_is_told_as_far_as_it_is_known(url: str, meant: str) -> None:
    (address,) = addresses(url)
    assert meant in str(refusal(address, "MOVED 3999 127.0.0.1:6381"))


async def test_a_server_that_takes_no_writes_any_more_is_left(link: Link, redis: RedisServer) -> None:
    before = await link.connection()
    await link.ask("REPLICAOF", "127.0.0.1", free_port())
    try:
        with pytest.raises(StoreUnreachable, match="it is a replica"):
            await link.ask("SET", "x", "1")
        assert before.lost.done()
        with pytest.raises(StoreUnreachable, match="it is a replica"):
            await link.ask("PING")
    finally:
        redis.command("REPLICAOF", "NO", "ONE")
    assert await link.ask("PING") == b"PONG"


async def test_a_database_that_is_not_there_is_named(redis: RedisServer) -> None:
    with pytest.raises(StoreRefused, match="there is no database 99"):
        await Link(addresses(redis.url.replace("/0", "/99"))).ask("PING")


async def test_an_answer_that_says_no_is_an_answer_to_its_question_alone(link: Link) -> None:
    connection = await link.connection()
    good, bad, other = await asyncio.gather(
        connection.ask("PING"), connection.ask("NO-SUCH"), connection.ask("ECHO", "x")
    )
    assert (good, other) == (b"PONG", b"x")
    assert isinstance(bad, ReplyError)
    with pytest.raises(StoreError, match="unknown command"):
        await link.ask("NO-SUCH")
