"""Calls that a type checker must refuse: each line that ends in ``# error``, and no other."""

from __future__ import annotations

from typing import Any

from umbel import AsyncResult, Task, Umbel, shared_task

app = Umbel("shop", set_as_current=False)


@app.task
def add(x: int, y: int = 1) -> int:
    return x + y


@app.task(queue="net")
async def fetch(url: str) -> str:
    return url


@app.task(bind=True)
def push(self: Task[..., Any], order: int) -> float:
    return float(order)


@shared_task
def halve(x: float) -> float:
    return x / 2


class Multiply(Task[[int, int], int]):
    """A task written as a class."""

    name = "shop.multiply"

    def run(self, x: int, y: int) -> int:
        return x * y


multiply = app.register_task(Multiply())


def arguments() -> None:
    add.delay("x", 1)  # error
    add.delay()  # error
    add.delay(1, 2, 3)  # error
    add.delay(1, z=2)  # error
    add("x")  # error
    add.options(priority=7).delay("x")  # error
    fetch.delay(1)  # error
    push.delay("x")  # error
    push.delay(push, 1)  # error
    halve.delay("x")  # error
    multiply.delay(1, "x")  # error
    add.delay_many([1])  # error


def results() -> None:
    text: str = add.delay(1).get()  # error
    number: int = fetch.delay("url").get()  # error
    body: str = fetch("url")  # error
    result: AsyncResult[str] = add.delay(1)  # error
    del text, number, body, result


async def coroutines() -> None:
    await add.adelay("x")  # error
    await fetch.options(queue="q").adelay(url=1)  # error
    result: AsyncResult[int] = await fetch.adelay("url")  # error
    number: int = await (await fetch.adelay("url"))  # error
    del result, number


def declarations() -> None:
    app.task(3)  # error
    app.register_task(Multiply)  # error
    app.as_completed([1])  # error
