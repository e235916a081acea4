"""Tests the stand-ins for the current app and the running task."""

from __future__ import annotations

import pytest

from umbel import Umbel, current, current_app, current_task
from umbel.errors import ConfigurationError, UmbelError


@pytest.fixture
def no_app(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process in which no app was made."""
    monkeypatch.setattr(current, "_current", None)


@pytest.fixture
def app(no_app: None) -> Umbel:
    """The only app of the process."""
    return Umbel("shop", broker="memory://proxies")


def test_the_current_app_is_the_one_made_or_chosen_last(app: Umbel) -> None:
    assert current_app == app
    assert current_app.main == "shop"
    other = Umbel("other")
    assert current_app == other
    app.set_current()
    assert current_app == app
    assert hash(current_app) == hash(app)
    assert repr(current_app) == "<current_app: <Umbel shop>>"


def test_what_is_set_on_the_current_app_is_set_on_the_app(app: Umbel) -> None:
    current_app.main = "renamed"

    assert app.main == "renamed"


def test_without_an_app_the_stand_in_is_false_and_its_use_says_what_to_do(no_app: None) -> None:
    assert not bool(current_app)
    assert current_app == None  # noqa: E711  it is not None, and equal to it
    assert repr(current_app) == "<current_app: None>"
    with pytest.raises(ConfigurationError, match="make one first"):
        current_app.main  # noqa: B018


def test_tools_that_look_at_the_stand_in_itself_need_no_app(no_app: None) -> None:
    assert not hasattr(current_app, "__wrapped__")
    assert not isinstance(current_app, Umbel)


def test_the_current_task_is_the_one_that_runs(app: Umbel) -> None:
    @app.task
    def who() -> list[object]:
        return [current_task == who, bool(current_task), current_task.name, current_task.request.id]

    result = who.apply(task_id="one")

    assert result.get() == [True, True, f"{__name__}.who", "one"]


def test_outside_a_task_there_is_no_current_task(app: Umbel) -> None:
    assert not bool(current_task)
    assert repr(current_task) == "<current_task: None>"
    with pytest.raises(UmbelError, match="use it inside a task"):
        current_task.name  # noqa: B018
