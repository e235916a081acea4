"""Tests of checking a call's arguments before anything is sent."""

from collections.abc import Callable
from typing import Any

import pytest

from umbel.signature_check import checker_for


def plain(x: int, y: int = 2) -> None: ...


def starred(*args: int, **kwargs: int) -> None: ...


def keyword_only(x: int, *, y: int, z: int = 3) -> None: ...


def positional_only(x: int, /, y: int) -> None: ...


def all_kinds(a: int, /, b: int, *rest: int, c: int, **more: int) -> None: ...


def only_positional_only(x: int, /) -> None: ...


FUNCTIONS: list[Callable[..., Any]] = [
    plain,
    starred,
    keyword_only,
    positional_only,
    all_kinds,
    only_positional_only,
    lambda x, *y: None,
]
CALLS: list[tuple[tuple[int, ...], dict[str, int]]] = [
    ((), {}),
    ((1,), {}),
    ((1, 2), {}),
    ((1, 2, 3), {}),
    ((), {"x": 1}),
    ((1,), {"y": 2}),
    ((1,), {"x": 2}),
    ((1, 2), {"c": 3}),
    ((1,), {"b": 2, "c": 3, "d": 4}),
]


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("call", CALLS)
def test_it_refuses_exactly_what_the_call_refuses(
    function: Callable[..., Any], call: tuple[tuple[int, ...], dict[str, int]]
) -> None:
    check = checker_for(function, "tasks.thing", skip_first=False)
    assert check is not None
    assert fits(check, *call) == fits(function, *call)


def fits(function: Callable[..., Any], args: tuple[int, ...], kwargs: dict[str, int]) -> bool:
    try:
        function(*args, **kwargs)
    except TypeError:
        return False
    return True


def test_the_error_speaks_of_the_task_and_its_parameter() -> None:
    check = checker_for(plain, "shop.add", skip_first=False)
    assert check is not None
    with pytest.raises(TypeError, match=r"add\(\) missing 1 required positional argument: 'x'"):
        check()


def test_a_strange_name_is_no_obstacle() -> None:
    check = checker_for(plain, "shop.add-one", skip_first=False)
    assert check is not None
    with pytest.raises(TypeError, match="task"):
        check()


def test_a_bound_parameter_can_be_left_out() -> None:
    check = checker_for(plain, "shop.add", skip_first=True)
    assert check is not None
    check(1)
    check()


def test_what_has_no_signature_is_not_checked() -> None:
    assert checker_for(type, "shop.type", skip_first=False) is None
