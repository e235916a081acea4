"""Tests of tasks that take and return pydantic models."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, Field, ValidationInfo, field_validator

from umbel.app import Umbel
from umbel.call import NO_OPTIONS
from umbel.errors import ConfigurationError, EncodeError, InvalidModel, MissingExtra, Retry
from umbel.model import Message, Route
from umbel.task import Task
from umbel.testing import running


class Item(BaseModel):
    name: str
    price: Decimal = Decimal(1)


class Order(BaseModel):
    number: int = Field(alias="No")
    items: list[Item] = []
    due: date | None = None


class Refund(BaseModel):
    reason: str


class Picky(BaseModel):
    n: int

    @field_validator("n")
    @classmethod
    def within(cls, value: int, info: ValidationInfo) -> int:
        limit = (info.context or {}).get("limit")
        if limit is not None and value > limit:
            raise ValueError(f"more than {limit}")
        return value


ORDER = Order(No=7, items=[Item(name="nut", price=Decimal("0.10"))], due=date(2030, 1, 2))


@pytest.fixture
def app() -> Iterator[Umbel]:
    """An app whose tasks run in the test."""
    app = Umbel("shop", broker="memory://modelled", set_as_current=False)
    with running(app):
        yield app


def sent(app: Umbel, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Route, Message]]:
    """What would be sent from here on."""
    pairs: list[tuple[Route, Message]] = []
    monkeypatch.setattr(app.publisher, "send", lambda route, message, **_: pairs.append((route, message)))
    return pairs


def total(order: Order, *more: Item, extra: Item | None = None, **others: list[Item]) -> list[Item]:
    """Every kind of parameter."""
    parts = [*order.items, *more, *([extra] if extra else []), *(item for items in others.values() for item in items)]
    assert all(type(part) is Item for part in parts)
    return parts


def test_models_arrive_as_models_and_come_back_as_models(app: Umbel) -> None:
    task = app.task(name="shop.total", pydantic=True)(total)
    nut, bolt = ORDER.items[0], Item(name="bolt")
    assert task.delay(ORDER).get() == [nut]
    assert task.delay(ORDER, bolt, nut, extra=bolt, x=[bolt, nut]).get() == [nut, bolt, nut, bolt, bolt, nut]
    assert task.apply_async((ORDER,), {"extra": nut}).get() == [nut, nut]
    assert [each.get() for each in task.delay_many([(ORDER,), (ORDER, bolt)])] == [[nut], [nut, bolt]]
    assert task.apply((ORDER, bolt)).get() == [nut, bolt]


def test_data_may_stand_for_a_model_by_alias_or_by_name(app: Umbel) -> None:
    task = app.task(name="shop.total", pydantic=True)(total)
    for data in ({"No": 1, "items": [{"name": "nut"}]}, {"number": 1, "items": [{"name": "nut"}]}):
        assert task.apply_async((data,)).get() == [Item(name="nut")]


def test_what_travels_and_what_is_kept_is_plain_data(app: Umbel, monkeypatch: pytest.MonkeyPatch) -> None:
    @app.task(name="shop.first", pydantic=True)
    def first(order: Order, copies: int) -> Item:
        return order.items[0]

    result = first.delay(ORDER, 2)
    assert result.get() == ORDER.items[0]
    assert result.result == {"name": "nut", "price": "0.10"}
    pairs = sent(app, monkeypatch)
    first.delay(ORDER, copies=2)
    ((_, message),) = pairs
    assert message.args == ({"No": 7, "items": [{"name": "nut", "price": "0.10"}], "due": "2030-01-02"},)
    assert message.kwargs == {"copies": 2}


def test_a_union_of_models_is_told_apart(app: Umbel) -> None:
    @app.task(name="shop.book", pydantic=True, bind=True)
    async def book(self: Task[..., Any], entry: Order | Refund | None) -> dict[str, Order | Refund | None]:
        assert self.name == "shop.book"
        return {type(entry).__name__: entry}

    assert book.delay(ORDER).get() == {"Order": ORDER}
    assert book.delay(Refund(reason="late")).get() == {"Refund": Refund(reason="late")}
    assert book.delay(None).get() == {"NoneType": None}


def test_an_argument_that_its_model_refuses_is_refused_before_anything_is_sent(
    app: Umbel, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = app.task(name="shop.total", pydantic=True)(total)
    pairs = sent(app, monkeypatch)
    secret: Any = {"No": "secret", "items": [{}]}
    with pytest.raises(InvalidModel) as refused:
        task.delay(secret)
    text = str(refused.value)
    assert text.startswith("shop.total: the argument 'order' is not what is annotated: No: Input should be a valid int")
    assert "; items.0.name: Field required" in text
    assert "secret" not in text
    wrong: Any = 3
    with pytest.raises(InvalidModel, match="the argument 'x' is not what is annotated"):
        task.delay(ORDER, x=wrong)
    with pytest.raises(InvalidModel, match="the argument 'more'"):
        task.delay_many([(ORDER, wrong)])
    with pytest.raises(InvalidModel, match="the argument 'order' cannot be written"):
        task.apply_async((object(),))
    assert pairs == []


def test_an_argument_of_another_version_fails_the_task_and_says_why(app: Umbel) -> None:
    @app.task(name="shop.total", pydantic=True)
    def total(order: Order) -> int:
        return len(order.items)

    # as a caller that knows the task by its name alone
    route, message = app.publisher.prepare("shop.total", ({"items": []},), {}, NO_OPTIONS)
    app.publisher.send(route, message)
    result = app.result(message.id)
    with pytest.raises(InvalidModel, match=r"shop.total: the argument 'order' is not what is annotated: No: Field req"):
        result.get()
    assert result.state == "FAILURE"


def test_a_result_of_another_version_is_refused_by_the_caller_and_can_be_had_as_data(app: Umbel) -> None:
    @app.task(name="shop.refund", pydantic=True)
    def refund() -> Refund:
        return {"why": "late"}  # type: ignore[return-value]

    result = refund.delay()
    with pytest.raises(InvalidModel, match=r"shop.refund: its result is not what is annotated: reason: Field required"):
        result.get()
    assert result.result == {"why": "late"}


def test_a_result_that_is_another_model_than_annotated_is_not_cut_down_to_it(app: Umbel) -> None:
    @app.task(name="shop.wrong", pydantic=True)
    def wrong() -> Refund:
        return ORDER  # type: ignore[return-value]

    with pytest.raises(EncodeError, match=r"the result of shop.wrong cannot be stored"):
        wrong.delay().get()


def test_strict_takes_no_number_for_a_text_but_what_json_made_of_a_date(app: Umbel) -> None:
    @app.task(name="shop.strict", pydantic=True, pydantic_strict=True)
    def strict(order: Order) -> date | None:
        return order.due

    loose = app.task(name="shop.loose", pydantic=True)(total)
    assert strict.delay(ORDER).get() == date(2030, 1, 2)
    text: Any = {"No": "7"}
    assert loose.delay(text).get() == []
    with pytest.raises(InvalidModel, match="No: Input should be a valid integer"):
        strict.delay(text)


def test_the_context_reaches_validators_with_the_app_and_the_tasks_name(app: Umbel) -> None:
    seen: list[Any] = []

    class Curious(BaseModel):
        @field_validator("*", mode="before")
        @classmethod
        def look(cls, value: Any, info: ValidationInfo) -> Any:
            seen.append(info.context)
            return value

        n: int = 0

    @app.task(name="shop.limited", pydantic=True, pydantic_context={"limit": 3})
    def limited(picky: Picky) -> int:
        return picky.n

    assert limited.delay(Picky(n=3)).get() == 3
    with pytest.raises(InvalidModel, match="more than 3"):
        limited.delay(Picky(n=4))

    def curious(one: Any) -> int:
        return int(one.n)

    curious.__annotations__ = {"one": Curious}
    app.task(name="shop.curious", pydantic=True)(curious).delay(Curious(n=1)).get()
    assert {(each["umbel_app"], each["umbel_task_name"]) for each in seen if each} == {(app, "shop.curious")}


def test_what_the_dump_leaves_out_leaves_the_result_data(app: Umbel) -> None:
    @app.task(name="shop.short", pydantic=True, pydantic_dump_kwargs={"include": {"name"}})
    def short() -> Item:
        return Item(name="nut")

    assert short.delay().get() == {"name": "nut"}  # type: ignore[comparison-overlap]


def test_a_direct_call_takes_and_returns_what_the_function_does(app: Umbel) -> None:
    @app.task(name="shop.first", pydantic=True)
    def first(order: Order) -> Item:
        return order.items[0]

    assert first(ORDER) is ORDER.items[0]


def test_a_retry_with_other_arguments_may_have_models_too(app: Umbel) -> None:
    @app.task(name="shop.again", pydantic=True, bind=True)
    def again(self: Task[..., Any], item: Item, *, by: Refund) -> str:
        if item.name == "nut":
            raise Retry(args=(Item(name="bolt"),), kwargs={"by": Refund(reason="worn")}, countdown=0)
        return f"{item.name} {by.reason}"

    assert again.apply((Item(name="nut"),), {"by": Refund(reason="new")}).get() == "bolt worn"


def test_a_task_class_can_have_models(app: Umbel) -> None:
    class First(Task[[Order], Item]):
        name = "shop.first"
        pydantic = True

        def run(self, order: Order) -> Item:
            return order.items[0]

    assert app.register_task(First()).delay(ORDER).get() == ORDER.items[0]


def test_without_the_option_a_model_is_a_value_that_cannot_be_written(app: Umbel) -> None:
    @app.task(name="shop.plain")
    def plain(order: Order) -> None: ...

    with pytest.raises(EncodeError, match="Order"):
        plain.delay(ORDER)


def test_annotations_that_are_not_there_when_the_program_runs_are_named(app: Umbel) -> None:
    @app.task(name="shop.typo", pydantic=True)
    def typo(order: Nowhere) -> None: ...  # type: ignore[name-defined] # noqa: F821

    with pytest.raises(ConfigurationError, match=r"shop.typo has pydantic=True, and .*'Nowhere' is not defined"):
        typo.delay(1)


def test_without_pydantic_the_line_that_installs_it_is_given(app: Umbel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pydantic", None)
    with pytest.raises(MissingExtra, match=r"shop.some with pydantic=True needs .* pip install 'umbel\[pydantic\]'"):
        app.task(name="shop.some", pydantic=True)(total)


def test_programs_that_use_no_models_do_not_import_it(tmp_path: Path) -> None:
    code = """if True:
        import sys
        from umbel import Umbel
        app = Umbel("x", broker="memory://x")
        @app.task
        def add(x: int) -> int: return x
        add.delay(1)
        assert add.apply((1,)).get() == 1
        assert "pydantic" not in sys.modules
    """
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, env={"PYTHONPATH": str(Path.cwd())})
