"""A Redis broker that asks sentinels where its server is, and follows them to another."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.brokers.redis.letters import call, calls, ids
from tools import redis_sentinel
from tools.ports import free_port
from tools.redis_sentinel import NAME, Watched
from umbel.backends.redis import RedisBackend
from umbel.brokers.redis import RedisBroker
from umbel.brokers.redis.consumer import RedisConsumer
from umbel.errors import StoreRefused, StoreUnreachable
from umbel.model import ACK
from umbel.testing.conformance.harness import listening, settle_all, to, until

pytestmark = [pytest.mark.server, pytest.mark.slow]


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    """Servers and sentinels of the test's own."""
    made = Watched(tmp_path / "watched")
    made.start()
    yield made
    made.close()


@pytest.mark.parametrize("kill", [True, False], ids=["killed", "made a replica"])
async def test_a_broker_goes_on_at_the_server_that_takes_over(watched: Watched, kill: bool) -> None:
    first, second = calls(20), calls(20)
    async with RedisBroker(watched.url) as broker, listening(await broker.consume(["mail"], 100)) as ear:
        await broker.publish(to("mail", first))
        held = await ear.hears(20)
        watched.caught_up()
        watched.fail_over(kill=kill)

        async def is_sent() -> bool:
            try:
                await broker.publish(to("mail", second))
            except StoreUnreachable:
                return False
            return True

        await until(is_sent)
        everything = await ear.hears(40)
        assert set(ids(everything)) == {each.id for each in (*first, *second)}
        await settle_all(ear.consumer, everything, ACK)
        assert len(held) == 20
    assert watched.replica.command("HLEN", "unacked") == "0"
    assert watched.replica.command("LLEN", "mail") == "0"


async def test_a_sentinel_that_is_gone_is_passed_over(watched: Watched) -> None:
    watched.sentinels[0].kill()
    async with RedisBroker(watched.url) as broker, RedisBackend(watched.url) as backend:
        await broker.publish(to("mail", [call()]))
        assert await broker.size("mail") == 1
        consumer = await broker.consume(["mail"], 1)
        assert isinstance(consumer, RedisConsumer)
        assert consumer.keeps(backend)
        await consumer.close()


async def test_a_name_that_no_sentinel_knows_is_told(watched: Watched) -> None:
    async with RedisBroker(watched.url.replace(NAME, "other")) as broker:
        with pytest.raises(StoreRefused, match=r"it watches nothing of the name 'other' \(master_name\)"):
            await broker.publish(to("mail", [call()]))


async def test_servers_that_would_never_fail_over_say_which_sentinel_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Watched(tmp_path / "watched")
    monkeypatch.setattr(made.sentinels[1], "start", lambda: None)
    monkeypatch.setattr(redis_sentinel, "PATIENCE", 3.0)
    with pytest.raises(RuntimeError, match=r"the sentinels do not agree: .*'no answer'"):
        made.start()
    assert not made.folder.exists()


async def test_a_password_of_the_sentinels_is_their_own(tmp_path: Path) -> None:
    watched = Watched(tmp_path / "watched", password="hidden")
    watched.start()
    try:
        async with RedisBroker(watched.url) as broker:
            await broker.publish(to("mail", [call()]))
        for url, told in ((watched.url.replace("hidden", "wrong"), "login refused"),):
            async with RedisBroker(url) as broker:
                with pytest.raises(StoreRefused, match=told) as caught:
                    await broker.publish(to("mail", [call()]))
                assert "wrong" not in str(caught.value).replace("is wrong", "")
        async with RedisBroker(watched.url.partition("&")[0]) as broker:
            with pytest.raises(StoreRefused, match="the server wants a password"):
                await broker.publish(to("mail", [call()]))
    finally:
        watched.close()


async def test_sentinels_that_are_all_away_are_told_without_the_password() -> None:
    url = f"sentinel://:secret@127.0.0.1:{free_port()}/0?master_name=m"
    async with RedisBroker(url) as broker:
        with pytest.raises(StoreUnreachable, match=r"sentinel://:\*\*@127\.0\.0\.1") as caught:
            await broker.publish(to("mail", [call()]))
        assert "secret" not in str(caught.value)
