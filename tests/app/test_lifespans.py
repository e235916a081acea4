"""Tests of declaring lifespans."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from umbel import Umbel
from umbel.errors import ConfigurationError


def nothing() -> None: ...


@contextmanager
def managed() -> Iterator[None]:
    yield


@pytest.mark.parametrize("wrong", [nothing, managed, 7])
def test_what_is_no_generator_function_is_refused(wrong: object) -> None:
    app = Umbel("t", set_as_current=False)
    with pytest.raises(ConfigurationError, match="a function with a yield"):
        app.lifespan(wrong)  # type: ignore[type-var]


def test_what_is_declared_is_given_back_unchanged() -> None:
    app = Umbel("t", set_as_current=False)

    def span() -> Iterator[None]:
        yield

    assert app.lifespan(span) is span
