"""The ways to the servers of a Redis Cluster: whose keys are whose, what is on its way, and what servers say."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import pytest
import trustme

from tools.ports import free_port
from tools.redis_cluster import SLOTS, RedisCluster
from tools.redis_server import RedisServer
from umbel.errors import StoreError, StoreUnreachable, StoreUnsuitable
from umbel.stores.redis.address import addresses
from umbel.stores.redis.cluster import ClusterLink
from umbel.stores.redis.cluster_layout import ClusterLayout
from umbel.stores.redis.link import Link, Script
from umbel.stores.redis.slots import slot_of
from umbel.testing.conformance.harness import PATIENCE, until

pytestmark = pytest.mark.server

COUNT = Script("count")


@pytest.fixture
async def link(redis_cluster: RedisCluster) -> AsyncIterator[ClusterLink]:
    made = ClusterLink(addresses(redis_cluster.url))
    yield made
    await made.close()


@pytest.fixture
def tag() -> str:
    """What keys begin with that share a slot of their own."""
    return f"{{{uuid.uuid4().hex}}}"


@contextmanager
def moving(cluster: RedisCluster, key: str) -> Iterator[tuple[RedisServer, RedisServer, int]]:
    """The slot of a key is on its way: from whom, to whom, and its number. It ends at the receiver's."""
    giver, slot = cluster.owner(key), cluster.slot(key)
    receiver = next(server for server in cluster.primaries if server is not giver)
    cluster.moving(slot, giver, receiver)
    try:
        yield giver, receiver, slot
    finally:
        cluster.move_keys(slot, giver, receiver)
        cluster.moved(slot, receiver)


async def test_slots_are_those_of_the_server(link: ClusterLink) -> None:
    keys = ["", "a", "{a}b", "b{a}", "{}a", "{a", "a}", "{{a}}", "{a}{b}", "a{}{b}", "żółw {🐢}", "123456789"]
    (node, *_) = await link.servers()
    told = await node.ask_all([("CLUSTER", "KEYSLOT", key) for key in keys])
    assert [slot_of(key) for key in keys] == told
    assert slot_of("123456789") == 0x31C3 % SLOTS


@pytest.mark.parametrize("name", ["mail", "a}b", "{x}", "}", "{}", "marks", ""])
def test_what_changes_in_one_step_is_in_one_slot(name: str) -> None:
    layout = ClusterLayout("shop:", name)
    together = [
        [*layout.touched, *layout.grave, *layout.lists(name), layout.due(name), layout.reads(name)],
        layout.marks,
        layout.notes([name, "other"]),
        layout.recording(name),
        [*layout.group(name), layout.desk(name), *layout.group("another")],
        [layout.inboxes, layout.inbox(name), layout.binding(name, "", "a")[0]],
    ]
    assert [len({slot_of(key) for key in keys}) for keys in together] == [1] * len(together)
    everything = [key for keys in together[1:] for key in keys] + layout.touched
    assert len(set(everything)) == len(everything)


async def test_each_command_goes_to_whoever_has_its_key(link: ClusterLink, tag: str) -> None:
    keys = [f"{tag}{n}" for n in range(3)] + [f"{uuid.uuid4().hex}" for _ in range(300)]
    assert len({link.map.owner(slot_of(key)) for key in keys if await link.ask("SET", key, key)}) == 3
    assert await link.values([keys[:3], *([key] for key in keys[3:])]) == [key.encode() for key in keys]
    await link.drop([[key] for key in keys])
    assert await link.values([[key] for key in keys]) == [None] * len(keys)


async def test_who_knows_only_one_of_them_finds_the_others(redis_cluster: RedisCluster, tag: str) -> None:
    for server in redis_cluster.servers:
        link = ClusterLink(addresses(f"rediscluster://127.0.0.1:{server.port}"))
        assert await link.ask("INCR", f"{tag}count") == redis_cluster.servers.index(server) + 1
        await link.close()


async def test_a_slot_that_has_moved_is_found_where_it_is(
    redis_cluster: RedisCluster, link: ClusterLink, tag: str
) -> None:
    await link.ask("RPUSH", f"{tag}list", "x")
    before = asyncio.get_running_loop().time()
    with moving(redis_cluster, tag) as (giver, _, _):
        pass
    assert await link.run(COUNT, [f"{tag}list"], []) == [1]
    assert redis_cluster.owner(tag) is not giver
    connection = link.at(tag).standing
    assert connection is not None
    assert connection.address.port == redis_cluster.owner(tag).port
    assert link.at(tag).since > before  # so that nobody's claims are taken for overdue by another server's clock


async def test_keys_on_their_way_are_asked_for_where_they_are_and_those_in_between_are_waited_for(
    redis_cluster: RedisCluster, link: ClusterLink, tag: str
) -> None:
    here, there = f"{tag}here", f"{tag}there"
    assert await link.ask_all([("RPUSH", here, "x"), ("RPUSH", there, "y")]) == [1, 1]
    with moving(redis_cluster, tag) as (giver, receiver, _):
        giver.command("MIGRATE", "127.0.0.1", str(receiver.port), there, "0", "5000")
        assert await link.ask("LLEN", here) == 1
        assert await link.ask("RPUSH", there, "z") == 2
        assert await link.run(COUNT, [there], []) == [2]
        both = asyncio.ensure_future(link.run(COUNT, [here, there], []))
        hasty = ClusterLink(link.addresses, 0.1)
        with pytest.raises(StoreUnreachable) as caught:
            await hasty.run(COUNT, [here, there], [])
        await hasty.close()
        assert not caught.value.doubtful
        assert not both.done()
    assert await both == [1, 2]


async def test_what_a_lost_connection_may_have_done_is_told_and_not_done_again(
    redis_cluster: RedisCluster, link: ClusterLink, tag: str
) -> None:
    await link.ask("SET", f"{tag}n", 0)
    connection = await link.at(tag).connection()
    number = await connection.ask("CLIENT", "ID")
    waiting = asyncio.ensure_future(link.ask("BLPOP", f"{tag}empty", 0))
    owner = redis_cluster.owner(tag)

    async def is_blocked() -> bool:
        return f"id={number} " in owner.command("CLIENT", "LIST") and "cmd=blpop" in owner.command("CLIENT", "LIST")

    await until(is_blocked)
    owner.command("CLIENT", "KILL", "ID", str(number))
    with pytest.raises(StoreUnreachable) as caught:
        await waiting
    assert caught.value.doubtful
    assert await link.ask("INCR", f"{tag}n") == 1


@pytest.fixture
async def silent() -> AsyncIterator[int]:
    """The port of a server that takes connections and says nothing."""
    over = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await over.wait()
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
        over.set()


async def test_a_server_that_falls_silent_is_asked_about_though_nobody_waits_until_it_counts_as_lost(
    link: ClusterLink, tag: str, silent: int
) -> None:
    await link.ask("SET", f"{tag}n", 0)
    owner = link.map.owner(slot_of(tag))
    assert owner is not None
    told = [[slot_of(tag), slot_of(tag), [b"127.0.0.1", silent]]]
    link.map.learn(owner._replace(connect_timeout=PATIENCE), told)  # as of a server that has stopped since
    for _ in range(20):
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.1):
                await link.ask("INCR", f"{tag}n")
    assert await link.ask("GET", f"{tag}n") != b"0"


async def test_a_silent_server_is_not_the_only_one_that_is_asked_who_has_what(
    redis_cluster: RedisCluster, tag: str, silent: int
) -> None:
    for _ in range(2):  # whichever is asked first
        first = f"rediscluster://127.0.0.1:{silent}?connect_timeout={10 * PATIENCE}"
        link = ClusterLink(addresses(f"{first};{redis_cluster.url}"))
        with anyio.fail_after(PATIENCE):
            await link.ask("INCR", f"{tag}n")
            await link.learn(anew=True)
        await link.close()


async def test_servers_that_are_all_silent_are_told(silent: int) -> None:
    link = ClusterLink(addresses(f"rediscluster://127.0.0.1:{silent}?connect_timeout=0.2"))
    with pytest.raises(StoreUnreachable, match=rf"rediscluster://127\.0\.0\.1:{silent}: no answer within 0\.2 s"):
        await link.ask("GET", "x")
    await link.close()


# -- what cannot be used


async def test_a_server_that_is_in_no_cluster_says_what_to_write(redis: RedisServer) -> None:
    link = ClusterLink(addresses(f"rediscluster://:@127.0.0.1:{redis.port}"))
    with pytest.raises(StoreUnsuitable, match=rf"no node of a cluster .*: write redis://127\.0\.0\.1:{redis.port}/0"):
        await link.ask("GET", "x")


async def test_a_server_of_a_cluster_says_what_to_write_to_who_takes_it_for_one_server(
    redis_cluster: RedisCluster,
) -> None:
    for server in redis_cluster.servers:  # a replica, too
        told = rf"node of a cluster.*: write rediscluster://127\.0\.0\.1:{server.port} "
        with pytest.raises(StoreUnsuitable, match=told):
            await Link(addresses(server.url)).ask("GET", "x")


@pytest.fixture(params=["yes", "no"], ids=["all slots needed", "some will do"])
def half(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RedisServer]:
    """A server of a cluster that has the lower half of the slots, and nobody the upper."""
    options = ["--cluster-enabled", "yes", "--cluster-require-full-coverage", request.param]
    server = RedisServer(tmp_path / "half", *options, "--cluster-port", str(free_port()))
    server.start()
    server.command("CLUSTER", "ADDSLOTSRANGE", "0", str(SLOTS // 2))
    yield server
    server.close()


async def test_a_slot_that_nobody_has_is_told(half: RedisServer) -> None:
    link = ClusterLink(addresses(f"rediscluster://127.0.0.1:{half.port}"))
    low, high = (next(key for key in map(str, range(100)) if (slot_of(key) > SLOTS // 2) == up) for up in (False, True))
    with pytest.raises(
        StoreUnreachable, match=rf"rediscluster://127\.0\.0\.1:{half.port}: no server .* slot {slot_of(high)}"
    ):
        await link.ask("SET", high, "x")
    if half.command("CONFIG", "GET", "cluster-require-full-coverage").endswith("yes"):
        with pytest.raises(StoreUnreachable, match="its cluster is down"):
            await link.ask("SET", low, "x")
    else:
        await link.insist(lambda: link.ask("SET", low, "x"))  # a cluster is down for its first seconds
        assert await link.ask("GET", low) == b"x"
    await link.close()


async def test_servers_that_are_all_away_are_told_without_the_password() -> None:
    link = ClusterLink(
        addresses(f"rediscluster://:secret@127.0.0.1:{free_port()};rediscluster://127.0.0.1:{free_port()}")
    )
    with pytest.raises(StoreUnreachable, match=r"rediscluster://:\*\*@127\.0\.0\.1:\d+: ") as caught:
        await link.ask("GET", "x")
    assert "secret" not in str(caught.value)
    assert not link.worked


async def test_an_encrypted_cluster_is_spoken_to_so_at_every_server(tmp_path: Path) -> None:
    ca = trustme.CA()
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    own = ca.issue_cert("127.0.0.1")
    own.private_key_and_cert_chain_pem.write_to_path(tmp_path / "own.pem")
    port, files = free_port(), {"tls-cert-file": "own.pem", "tls-key-file": "own.pem", "tls-ca-cert-file": "ca.pem"}
    options = [word for name, file in files.items() for word in (f"--{name}", str(tmp_path / file))]
    options += ["--cluster-enabled", "yes", "--cluster-port", str(free_port()), "--tls-cluster", "yes"]
    server = RedisServer(tmp_path / "server", "--tls-port", str(port), "--tls-auth-clients", "no", *options)
    server.start()
    try:
        server.command("CLUSTER", "ADDSLOTSRANGE", "0", str(SLOTS - 1))
        link = ClusterLink(addresses(f"redisclusters://127.0.0.1:{port}?ssl_ca_certs={tmp_path}/ca.pem"))
        await link.learn()
        await link.insist(lambda: link.ask("SET", "x", "1"))
        assert [(each.addresses[0].port, each.addresses[0].tls) for each in await link.servers()] == [(port, True)]
        await link.close()
    finally:
        server.close()


async def test_an_error_that_has_nothing_to_do_with_places_is_told_as_it_is(link: ClusterLink, tag: str) -> None:
    await link.ask("SET", f"{tag}x", "text")
    with pytest.raises(StoreError, match="WRONGTYPE"):
        await link.ask("LPUSH", f"{tag}x", "y")
    with pytest.raises(StoreError, match="CROSSSLOT"):
        await link.ask("MGET", f"{tag}x", "elsewhere")
