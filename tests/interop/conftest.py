"""Both ends on one of the session's servers, once a module, server and version of Celery."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.interop.ends import ON_RABBITMQ, ON_REDIS, Ends
from tools.rabbitmq import RabbitMQ
from tools.redis_server import RedisServer


@pytest.fixture(scope="module", params=[*ON_RABBITMQ, *ON_REDIS])
def ends(
    request: pytest.FixtureRequest, interpreter: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Ends]:
    """A worker and a client of each, ready."""
    server, version = request.param.split("-")
    running: RabbitMQ | RedisServer = request.getfixturevalue(server)
    backend = running.url if server == "redis" else "rpc://"
    made = Ends(tmp_path_factory.mktemp(request.param), running.url, backend, interpreter(version))
    try:
        for program in [made.start("celery"), made.start("umbel")]:
            program.ready()
        yield made
    finally:
        made.close()
