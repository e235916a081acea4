"""Calls that a type checker must take, with the types that it must find."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, assert_type

from umbel import AsyncResult, Task, Umbel, shared_task

app = Umbel("shop", set_as_current=False)


@app.task
def add(x: int, y: int = 1, *, fast: bool = False) -> int:
    return x + y


@app.task
async def fetch(url: str) -> str:
    return url


@app.task(queue="mail", max_retries=5)
def mail(user: int) -> None:
    """Options change nothing of the types."""


@app.task(queue="net")
async def crawl(url: str, depth: int = 1) -> list[str]:
    return [url] * depth


@app.task(bind=True, name="shop.push")
def push(self: Task[..., Any], order: int) -> float:
    return float(self.request.retries + order)


@app.task(bind=True)
async def pull(self: Task[..., Any], order: int) -> bytes:
    return self.name.encode() * order


@shared_task
def halve(x: float) -> float:
    return x / 2


@shared_task(bind=True, queue="q")
def named(self: Task[..., Any], times: int) -> str:
    return self.name * times


@shared_task(queue="q")
async def slow(seconds: float) -> int:
    return int(seconds)


class Multiply(Task[[int, int], int]):
    """A task written as a class."""

    name = "shop.multiply"
    factor = 2

    def run(self, x: int, y: int) -> int:
        return x * y * self.factor


multiply = app.register_task(Multiply())


def plain_calls() -> None:
    assert_type(add(1, 2), int)
    assert_type(add.delay(1, fast=True), AsyncResult[int])
    assert_type(add.delay(1).get(timeout=1), int)
    assert_type(add.options(queue="math", countdown=10).options(priority=7).delay(4, 4), AsyncResult[int])
    assert_type(add.apply_async((4, 4), countdown=10), AsyncResult[int])
    assert_type(add.delay_many([(n, n) for n in range(10)]), list[AsyncResult[int]])
    assert_type(add.options(priority=1).delay_many([(1, 1)])[0].get(), int)
    assert_type(add.apply((1, 2)).get(), int)
    assert_type(mail.delay(user=7), AsyncResult[None])
    assert_type(push.delay(9), AsyncResult[float])
    assert_type(halve.delay(1.5), AsyncResult[float])
    assert_type(named.delay(times=2), AsyncResult[str])
    assert_type(multiply, Multiply)
    assert_type(multiply.factor, int)
    assert_type(multiply.delay(2, 3), AsyncResult[int])
    assert_type(multiply(2, 3), int)


def tasks_of_coroutines() -> None:
    coroutine: Coroutine[Any, Any, str] = fetch("url")
    coroutine.close()
    assert_type(fetch.delay("url"), AsyncResult[str])
    assert_type(crawl.delay("url", depth=2).get(), list[str])
    assert_type(fetch.apply(("url",)).get(), str)
    assert_type(pull.options(queue="q").delay(1), AsyncResult[bytes])
    assert_type(slow.delay(1.5), AsyncResult[int])


async def from_coroutines() -> None:
    assert_type(await fetch.adelay("url"), AsyncResult[str])
    assert_type(await (await fetch.adelay("url")), str)
    assert_type(await fetch("url"), str)
    assert_type(await add.options(priority=1).adelay(1), AsyncResult[int])
    assert_type(await add.adelay_many([(1, 2)]), list[AsyncResult[int]])
    assert_type(await crawl.aapply_async(("url",)), AsyncResult[list[str]])
    result = await push.adelay(1)
    assert_type(await result.aget(timeout=10), float)
    assert_type(await result, float)
    async for each in app.as_completed([result]):
        assert_type(each, AsyncResult[float])
    async with app as same:
        assert_type(same, Umbel)


def takes_any_task(task: Task[..., object]) -> str:
    return task.name


def of_many_kinds() -> None:
    takes_any_task(add)
    takes_any_task(fetch)
    takes_any_task(multiply)
    for result in app.as_completed([add.delay(1), add.delay(2)]):
        assert_type(result.get(), int)
    for one in app.as_completed(["id", add.delay(1)]):
        assert_type(one, AsyncResult[Any])
    with app as same:
        assert_type(same, Umbel)
