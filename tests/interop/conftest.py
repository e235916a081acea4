"""Both ends on the session's RabbitMQ server, once a module and version of Celery."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.interop.ends import Ends
from tools.rabbitmq import RabbitMQ


@pytest.fixture(scope="module", params=["celery56", "celery57"])
def ends(
    request: pytest.FixtureRequest,
    interpreter: Callable[[str], Path],
    rabbitmq: RabbitMQ,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Ends]:
    """A worker and a client of each, ready."""
    made = Ends(tmp_path_factory.mktemp(request.param), rabbitmq.url, interpreter(request.param))
    try:
        for program in [made.start("celery"), made.start("umbel")]:
            program.ready()
        yield made
    finally:
        made.close()
