"""Tests of the tasks that an app knows."""

import pytest

from umbel.app import Umbel
from umbel.errors import ConfigurationError, NotRegistered


def make_app() -> Umbel:
    return Umbel("shop", broker="memory://registry", set_as_current=False)


def test_a_missing_name_says_what_comes_nearest() -> None:
    app = make_app()

    @app.task(name="shop.resize")
    def resize() -> None: ...

    with pytest.raises(
        NotRegistered, match=r"no task named 'shop.rezise'; the nearest registered name is 'shop.resize'"
    ):
        app.tasks["shop.rezise"]
    with pytest.raises(KeyError, match="is the module that defines it imported"):
        app.tasks["zzz"]


def test_one_name_for_two_functions_is_refused() -> None:
    app = make_app()

    @app.task(name="shop.one")
    def first() -> None: ...

    with pytest.raises(ConfigurationError, match=r"two tasks are called 'shop.one'.*first.*second"):

        @app.task(name="shop.one")
        def second() -> None: ...


def test_the_same_function_declared_again_is_the_task_there_is() -> None:
    app = make_app()

    def once() -> None: ...

    assert app.task(once) is app.task(once)


def test_a_task_without_a_name_is_refused() -> None:
    app = make_app()
    with pytest.raises(ConfigurationError, match="has no name"):
        app.tasks.register(app.Task())
