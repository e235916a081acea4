"""More tasks of both ends, for chords; imported by ``deeds`` when everything in it is there."""

import os
from typing import Any

from deeds import END, app, await_file, deed, note  # type: ignore[import-not-found, unused-ignore]

__all__ = ["gathered", "total"]

app.conf.update(task_unknown_grace=0.1) if END == "umbel" else None


@deed(bind=True)  # type: ignore[untyped-decorator, unused-ignore]
def gathered(self: Any, values: list[Any], tag: str) -> Any:
    """What a body got, which body it is and where."""
    note(f"gathered {tag} {END}")
    return [values, self.request.id, END]


@deed()  # type: ignore[untyped-decorator, unused-ignore]
def total(values: list[Any]) -> Any:
    """Of all numbers, however deep they are."""
    return sum(total(each) if isinstance(each, list) else each for each in values)


if "INTEROP_HALTS_WHEN_JOINED" in os.environ:
    from umbel.worker.joining import Joining

    whole = Joining.end

    async def halted(*args: Any) -> Any:
        """The store has given the ends of all parts; nothing else happens any more."""
        found = await whole(*args)
        if found is not None:
            note("halted after joining")
            await_file("never")
        return found

    Joining.end = halted  # type: ignore[method-assign, assignment]
