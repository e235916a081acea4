"""Fixtures and reports that every test may rely on."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from tests.ledger import Ledger, expected_skips
from tools.rabbitmq import RabbitMQ
from tools.redis_cluster import RedisCluster
from tools.redis_server import RedisServer

ROOT = Path(__file__).resolve().parent.parent


def pytest_configure(config: pytest.Config) -> None:
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # in a shell's background, and every child inherits it
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:  # after nohup
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
    config.pluginmanager.register(Ledger(expected_skips(ROOT / "tests" / "expected_skips.txt")), "ledger")


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable() -> Generator[None, dict[str, Any] | None, dict[str, Any] | None]:
    """What a process of several tells of a test has no half characters, which it could not send."""
    return cast("dict[str, Any] | None", _whole((yield)))


def _whole(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode(errors="backslashreplace").decode()
    if isinstance(value, dict):
        return {_whole(key): _whole(each) for key, each in value.items()}
    return type(value)(map(_whole, value)) if type(value) in (list, tuple) else value


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Coroutines run on asyncio, as they do in the package."""
    return "asyncio"


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def interpreter() -> Callable[[str], Path]:
    """The Python of an environment of requirements/, as in ``interpreter("celery56")``; made where it is missing."""

    def find(name: str) -> Path:
        tool = [sys.executable, str(ROOT / "tools" / "environment.py"), name]
        return Path(subprocess.run(tool, stdout=subprocess.PIPE, text=True, check=True).stdout.strip())

    return find


@pytest.fixture(scope="session")
def rabbitmq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQ]:
    """One RabbitMQ server for the whole run; who would kill it starts another."""
    server = RabbitMQ(tmp_path_factory.mktemp("rabbitmq"))
    server.start()
    yield server
    server.close()


@pytest.fixture(scope="session")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One Redis server for the whole run; who would kill it starts another."""
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.close()


@pytest.fixture(scope="session")
def redis_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisCluster]:
    """One Redis Cluster for the whole run: three primaries, the first with a replica. Who kills one brings it back."""
    cluster = RedisCluster(tmp_path_factory.mktemp("redis-cluster"), 3, 1)
    cluster.start()
    yield cluster
    cluster.close()


@pytest.fixture(params=["redis", "redis_cluster"])
def any_redis(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where Redis is: once it is one server, once a part of a cluster that is this test's own."""
    url: str = request.getfixturevalue(request.param).url
    return url if request.param == "redis" else f"{url}?global_keyprefix={tmp_path.name}:"
