"""Results that real Celery stored are read, and the same records make the same bytes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.wire.golden_files import GOLDEN, VERSIONS
from tests.wire.test_golden_messages import number
from umbel import errors
from umbel.model import Record, SealedRecord
from umbel.wire.results import seal, unseal

NAMES = sorted({(version, name) for version in VERSIONS for name in GOLDEN[version].results})
TIME = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)


def stored(version: str, name: str) -> SealedRecord:
    return SealedRecord(number(1), "", GOLDEN[version].results[name])


def record(state: str, value: Any, traceback: str | None = None, **fields: Any) -> Record:
    plain: dict[str, Any] = {
        "name": "tasks.add",
        "args": [1, 2],
        "kwargs": {"z": None},
        "worker": "w@host",
        "retries": 0,
        "queue": "celery",
    }
    return Record(id=number(1), state=state, value=value, traceback=traceback, **plain, **fields)


def failure(name: str, error: BaseException) -> Record:
    return record("FAILURE", error, f"Traceback\n{name}\n")


EXPECTED = {
    "success": record(
        "SUCCESS",
        {"sum": 3, "when": TIME},
        group_id=number(4),
        parent_id=number(3),
        children=[[[number(2), None], None]],
    ),
    "nothing": record("SUCCESS", None),
    "started": record("STARTED", {"pid": 1, "hostname": "w@host"}),
    "custom state": record("PROGRESS", {"done": 1}),
    "retry": record("RETRY", ValueError("again"), "Traceback\n"),
    "revoked": record("REVOKED", errors.TaskRevokedError("expired")),
    **{
        name: failure(name, error)
        for name, error in {
            "ValueError": ValueError("a", 1),
            "KeyError": KeyError("k"),
            "OSError": OSError(2, "gone"),
            "typed arguments": ValueError(TIME, {1, 2}, b"\xff"),
            "NotRegistered": errors.NotRegistered("tasks.gone"),
            "TaskRevokedError": errors.TaskRevokedError("revoked"),
            "TimeoutError": errors.TimeoutError("late"),
            "Ignore": errors.Ignore("why"),
            "Reject": errors.Reject("why", requeue=True),
            "SecurityError": errors.SecurityError("no"),
            "WorkerLostError": errors.WorkerLostError("lost"),
            "EncodeError": errors.EncodeError("no word"),
            "ContentDisallowed": errors.ContentDisallowed("no"),
            "MaxRetriesExceededError": errors.MaxRetriesExceededError("enough"),
        }.items()
    },
}


def shown(value: Any) -> Any:
    """An exception as its class and arguments: a set among them came back as text."""
    if not isinstance(value, BaseException):
        return value
    kind = type(value)
    return (
        kind.__module__,
        kind.__qualname__,
        tuple(str(part) if isinstance(part, set) else part for part in value.args),
    )


@pytest.mark.parametrize(("version", "name"), NAMES)
def test_a_result_of_celery_is_read(version: str, name: str) -> None:
    read = unseal(stored(version, name))
    want = EXPECTED[name]
    assert shown(read.value) == shown(want.value)
    assert type(read.value) is type(want.value)
    for field in Record.__slots__:
        if field not in ("value", "date_done", "children"):
            assert getattr(read, field) == getattr(want, field), field
    assert list(read.children) == list(want.children)
    if want.state in ("SUCCESS", "FAILURE", "REVOKED"):
        assert read.date_done is not None
        assert read.date_done.tzinfo is not None


@pytest.mark.parametrize(("version", "name"), NAMES)
def test_a_result_that_was_read_is_written_as_celery_wrote_it(version: str, name: str) -> None:
    theirs = stored(version, name)
    assert seal(unseal(theirs)).payload == theirs.payload


@pytest.mark.parametrize(("version", "name"), NAMES)
def test_the_same_outcome_makes_the_same_bytes(version: str, name: str) -> None:
    theirs = stored(version, name)
    fields = {field: getattr(EXPECTED[name], field) for field in Record.__slots__}
    ours = Record(**{**fields, "date_done": unseal(theirs).date_done})
    assert seal(ours).payload == theirs.payload
