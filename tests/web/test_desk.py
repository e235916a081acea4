"""Tests of what pages get, without a web framework."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from umbel import Umbel, UserError
from umbel.errors import ConfigurationError
from umbel.testing import working
from umbel.web import Answer, Asked, Desk, Unauthenticated, progress_ticket

SECRET = "a secret that nobody can guess"
OWN = {"sec-fetch-site": "same-origin"}

go = threading.Event()
"""What the tasks of this module wait for."""

app = Umbel("desk", broker="memory://desk", set_as_current=False)


@app.task(bind=True, name="counts")
def counts(self: Any, n: int, wait: bool = False) -> dict[str, int]:
    for number in self.track(range(n), message="Counting <b>"):
        if wait and number == 1:
            while not go.wait(0.01):
                self.progress.check()
    return self.progress.finish("Counted", value={"n": n}, links=[("Look", "/look")])  # type: ignore[no-any-return]


@app.task(name="fails")
def fails(public: bool) -> None:
    if public:
        raise UserError("row 11 is malformed")
    raise ValueError("swordfish")


@pytest.fixture(autouse=True)
def worker() -> Iterator[None]:
    go.clear()
    with working(app):
        yield
        go.set()


@pytest.fixture
def desk() -> Desk:
    made = Desk(app, secret=SECRET, user=lambda request: request)
    made.expose("counts", counts, show_result=True)
    made.expose("fails", fails)
    made.expose("mine", counts, allow=lambda request: request == "ada")
    return made


async def ask(desk: Desk, path: str, method: str = "GET", **more: Any) -> Answer:
    path, _, query = path.partition("?")
    return await desk.answer(Asked(method=method, path=path, base="/umbel/", query=query, **more))


def facts(answer: Answer) -> Any:
    assert isinstance(answer.body, bytes)
    return json.loads(answer.body)


async def start(desk: Desk, alias: str = "counts", given: Any = None, **headers: str) -> str:
    body = json.dumps({"n": 3} if given is None else given).encode()
    answer = await ask(
        desk, f"tasks/{alias}", "POST", body=body, headers={"content-type": "application/json", **OWN, **headers}
    )
    assert answer.status == 202, answer
    key: str = facts(answer)["key"]
    return key


async def ended(desk: Desk, key: str) -> Any:
    async with asyncio.timeout(60):
        while not (seen := facts(await ask(desk, f"tasks/{key}"))).get("final"):  # noqa: ASYNC110  it is the page that asks
            await asyncio.sleep(0.01)
    return seen


async def test_a_task_is_started_followed_and_its_result_shown(desk: Desk) -> None:
    answer = await ask(desk, "tasks/counts", "POST", body=b'{"n": 3}', headers={"content-type": "application/json"})
    given = facts(answer)
    assert answer.status == 202
    assert dict(answer.headers)["Location"] == given["status"] == f"/umbel/tasks/{given['key']}"
    seen = await ended(desk, given["key"])
    assert (seen["state"], seen["message"], seen["percent"], seen["result"]) == ("SUCCESS", "Counted", 100.0, {"n": 3})
    assert (seen["links"], seen["key"]) == ([["Look", "/look"]], given["key"])
    assert "can" not in seen


async def test_a_snapshot_that_is_known_is_not_sent_again(desk: Desk) -> None:
    key = await start(desk)
    await ended(desk, key)
    first = await ask(desk, f"tasks/{key}")
    tag = dict(first.headers)["ETag"]
    assert tag.startswith(f'"{facts(first)["seq"]}')
    assert (await ask(desk, f"tasks/{key}", headers={"if-none-match": tag})).status == 304


async def test_end_users_see_a_public_error_and_never_another(desk: Desk) -> None:
    for public, text in ((True, "row 11 is malformed"), (False, "Something went wrong")):
        answer = await ask(desk, f"tasks/{await start(desk, 'fails', [public])}")
        seen = await ended(desk, facts(answer)["key"])
        assert (seen["state"], seen["error"]["text"]) == ("FAILURE", text)
        assert "swordfish" not in json.dumps(seen)
        assert "fails" not in json.dumps({**seen, "key": ""})


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"{", "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b'"text"', "application/json", 422),
        (b'{"m": 3}', "application/json", 422),
        (b"[1, 2, 3, 4]", "application/json", 422),
        (b"n=three", "application/x-www-form-urlencoded", 422),
        (b"n=3", "text/plain", 415),
        (b"x" * (1 << 20) + b"x", "application/json", 413),
        (b"&".join(b"a=%d" % n for n in range(500)), "application/x-www-form-urlencoded", 400),
    ],
)
async def test_arguments_that_do_not_fit_are_refused(desk: Desk, body: bytes, kind: str, status: int) -> None:
    answer = await ask(desk, "tasks/counts", "POST", body=body, headers={"content-type": kind, **OWN})
    assert answer.status == status
    assert facts(answer)["error"]


async def test_a_plain_form_leads_to_the_page_that_works_without_javascript(desk: Desk) -> None:
    headers = {"content-type": "application/x-www-form-urlencoded", **OWN}
    answer = await ask(desk, "tasks/counts", "POST", body=b"n=3&wait=1", headers=headers)
    place = dict(answer.headers)["Location"].removeprefix("/umbel/")
    assert answer.status == 303
    async with asyncio.timeout(60):
        while b"Counting" not in (page := (await ask(desk, place)).body):  # type: ignore[operator]  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert isinstance(page, bytes)
    assert b"Counting &lt;b&gt;" in page
    assert b'http-equiv="refresh"' in page
    cancel = place.replace("/page", "/cancel")
    assert f'action="/umbel/{cancel}"'.encode() in page
    assert (await ask(desk, cancel, "POST", headers=headers)).status == 303
    await ended(desk, place.split("/")[1])
    last = await ask(desk, place)
    assert isinstance(last.body, bytes)
    assert b"Cancelled" in last.body
    assert b"refresh" not in last.body
    assert dict(last.headers)["Content-Security-Policy"].startswith("default-src 'none'")


async def test_a_call_under_a_key_of_the_pages_own_is_sent_once(desk: Desk) -> None:
    keys = [await start(desk, **{"idempotency-key": "k1"}) for _ in range(2)]
    other = await start(desk, **{"idempotency-key": "k2"})
    ids = [desk._tickets.read(key, 0).id for key in (*keys, other)]  # type: ignore[union-attr]
    assert ids[0] == ids[1] != ids[2]
    await ended(desk, other)


async def test_only_who_may_can_start_a_task(desk: Desk) -> None:
    for user, status in (("ada", 202), ("eve", 403), (None, 403)):
        answer = await ask(
            desk, "tasks/mine", "POST", body=b"[3]", native=user, headers={"content-type": "application/json"}
        )
        assert answer.status == status
    assert (await ask(desk, "tasks/unknown", "POST")).status == 404


async def test_what_another_site_sends_is_refused(desk: Desk) -> None:
    key = await start(desk, given={"n": 3, "wait": True})
    for headers in ({"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"}, {"origin": "https://evil.org"}):
        told = {"host": "shop.org", **headers}
        assert (await ask(desk, f"tasks/{key}/cancel", "POST", headers=told)).status == 403
        assert (await ask(desk, "tasks/counts", "POST", headers=told)).status == 403
    told = {"host": "shop.org", "origin": "https://shop.org"}
    assert (await ask(desk, f"tasks/{key}/cancel", "POST", headers=told)).status == 202
    assert (await ended(desk, key))["state"] == "REVOKED"


async def test_tickets_that_are_forged_expired_or_anothers_are_refused(desk: Desk) -> None:
    result = await counts.adelay(1)
    good = progress_ticket(result.id, secret=SECRET)
    body, _, seal = good.removeprefix("tk_").partition(".")
    other = progress_ticket("another-id", secret=SECRET)
    forged = [
        progress_ticket(result.id, secret="another secret of some length"),
        f"tk_{other.removeprefix('tk_').partition('.')[0]}.{seal}",
        f"tk_{body}.{seal[:-2]}",
        f"tk_{body}",
        "tk_",
        "tk_.",
        f"tk_{body}.%%",
        "tk_\xff.\xff",
        result.id,
        f"{good}x" * 200,
    ]
    for key in forged:
        assert (await ask(desk, f"tasks/{key}")).status in (403, 404), key
    assert (await ask(desk, f"tasks/{progress_ticket(result.id, secret=SECRET, ttl=-1)}")).status == 410
    assert (await ask(desk, f"tasks/{good}")).status == 200
    assert (await ask(desk, f"tasks/{good}/cancel", "POST", headers=OWN)).status == 403
    owned = progress_ticket(result.id, secret=SECRET, user="ada")
    for user, status in (("ada", 200), ("eve", 403), (None, 401)):
        assert (await ask(desk, f"tasks/{owned}", native=user)).status == status


async def test_one_secret_can_follow_another() -> None:
    old = progress_ticket("some-id", secret=SECRET)
    desk = Desk(app, secret=["the new secret, long enough", SECRET])
    assert (await ask(desk, f"tasks/{old}")).status == 200
    assert (await ask(Desk(app, secret="the new secret, long enough"), f"tasks/{old}")).status == 403


async def test_a_host_may_decide_itself() -> None:
    def authorize(request: Any, task_id: str) -> Any:
        if request is None:
            raise Unauthenticated
        return {"cancel"} if request == "ada" else request == "bob"

    desk = Desk(app, authorize=authorize)
    result = await counts.adelay(3, wait=True)
    for user, status in (("ada", 200), ("bob", 200), ("eve", 403), (None, 401)):
        assert (await ask(desk, f"tasks/{result.id}", native=user)).status == status
    for user, headers, status in (("bob", OWN, 403), ("ada", {}, 403), ("ada", OWN, 202)):
        answer = await ask(desk, f"tasks/{result.id}/cancel", "POST", native=user, headers=headers)
        assert answer.status == status
    assert (await ended_as(desk, result.id, "ada"))["state"] == "REVOKED"


async def ended_as(desk: Desk, key: str, user: str) -> Any:
    async with asyncio.timeout(60):
        while not (seen := facts(await ask(desk, f"tasks/{key}", native=user))).get("final"):  # noqa: ASYNC110  it is the page that asks
            await asyncio.sleep(0.01)
    return seen


def test_a_desk_that_nobody_guards_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="who may follow which task"):
        Desk(app)
    with pytest.raises(ConfigurationError, match="16 characters"):
        Desk(app, secret="short")
    desk = Desk(app, secret=SECRET)
    with pytest.raises(ConfigurationError, match="takes a task"):
        desk.expose("x", print)
    with pytest.raises(ConfigurationError, match="must be letters"):
        desk.expose("a/b", counts)
    desk.expose("x", counts)
    with pytest.raises(ConfigurationError, match="is taken"):
        desk.expose("x", fails)
    with pytest.raises(ConfigurationError, match="not 'fly'"):
        desk.ticket("id", can=("fly",))
    with pytest.raises(ConfigurationError, match="tickets need secret"):
        Desk(app, authorize=lambda request, id: True).ticket("id")


async def events(answer: Answer) -> AsyncIterator[tuple[str, str, Any]]:
    """(event, id, data) of a stream."""
    assert not isinstance(answer.body, bytes)
    async for chunk in answer.body:
        fields = dict(line.split(": ", 1) for line in chunk.decode().strip().split("\n") if not line.startswith(":"))
        if "event" in fields:
            yield fields["event"], fields.get("id", ""), json.loads(fields["data"])


async def test_a_stream_tells_every_change_of_many_tasks_until_all_have_ended(desk: Desk) -> None:
    slow, quick = await start(desk, given={"n": 3, "wait": True}), await start(desk)
    stranger = progress_ticket("x", secret="another secret of some length")
    answer = await ask(desk, f"stream?t={slow}~0&t={stranger}~0&t={quick}~0")
    headers = dict(answer.all_headers)
    assert (answer.status, headers["Content-Type"]) == (200, "text/event-stream")
    assert (headers["Cache-Control"], headers["X-Accel-Buffering"]) == ("no-cache, no-transform", "no")
    seen: list[tuple[str, str, Any]] = []
    async with asyncio.timeout(60):
        async for each in events(answer):
            seen.append(each)
            if each[2].get("current") == 1:
                go.set()
    assert seen[0] == ("refused", "", {"key": stranger, "status": 403, "error": "this ticket is not one of ours"})
    assert seen[-1][0] == "end"
    last = {data["key"]: data for name, _, data in seen if name == "snapshot"}
    assert {key: data["state"] for key, data in last.items()} == {slow: "SUCCESS", quick: "SUCCESS"}
    cursor = [id for name, id, _ in seen if name == "snapshot"][-1]
    assert cursor.split(",") == [str(last[slow]["seq"]), "0", str(last[quick]["seq"])]
    again = await ask(desk, f"stream?t={slow}~0&t={stranger}~0&t={quick}~0", headers={"last-event-id": cursor})
    assert again.status == 204
    assert (await ask(desk, f"stream?t={slow}~{last[slow]['seq']}")).status == 204


async def test_a_stream_without_anything_to_tell_is_refused(desk: Desk) -> None:
    stranger = progress_ticket("x", secret="another secret of some length")
    assert (await ask(desk, "stream")).status == 400
    assert (await ask(desk, "stream?" + "&".join(f"t={n}~0" for n in range(101)))).status == 400
    assert (await ask(desk, f"stream?t={stranger}~0")).status == 403
    assert (await ask(desk, f"stream?t={stranger}~0", streams=False)).status == 501


async def test_beyond_the_limit_of_streams_whoever_comes_is_told_when_to_come_again() -> None:
    desk = Desk(app, secret=SECRET, max_streams=1)
    key = desk.ticket(await counts.adelay(3, wait=True))
    first = await ask(desk, f"stream?t={key}~0")
    assert not isinstance(first.body, bytes)
    assert await anext(first.body)
    refused = await ask(desk, f"stream?t={key}~0")
    assert (refused.status, dict(refused.headers)["Retry-After"]) == (503, "5")
    await first.body.aclose()  # type: ignore[attr-defined]
    assert (await ask(desk, f"stream?t={key}~0")).status == 200


async def test_files_are_sent_with_a_tag_and_other_addresses_are_nothing(desk: Desk) -> None:
    answer = await ask(desk, "x")
    for name in ("umbel-progress.js", "umbel-tray.js", "umbel-progress.css"):
        answer = await ask(desk, name)
        headers = dict(answer.headers)
        assert answer.status == 200
        assert answer.body
        assert (await ask(desk, name, headers={"if-none-match": headers["ETag"]})).status == 304
        assert "immutable" in dict((await ask(desk, f"{name}?v=1")).headers)["Cache-Control"]
    assert ("X-Content-Type-Options", "nosniff") in answer.all_headers
    for path in ("", "x", "tasks", "tasks/a/b/c", "tasks/x/y", "../secret", "umbel-progress.js/x"):
        assert (await ask(desk, path)).status in (403, 404)
    assert (await ask(desk, "tasks/x/cancel")).status == 405
    assert (await ask(desk, "stream", "POST")).status == 405
