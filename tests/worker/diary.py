"""What the tasks of the worker tests note, and what they wait for; imported by workers."""

import asyncio
import os
import time
from pathlib import Path

HERE = Path(os.environ.get("SHOP_FOLDER", "."))


def note(line: str) -> None:
    """Append a line to the diary, whole, whoever writes at the same time."""
    with (HERE / "diary").open("a") as diary:
        diary.write(line + "\n")


def wait_for(name: str) -> None:
    """Return when the test has made the file ``name``."""
    while not (HERE / name).exists():
        time.sleep(0.005)


async def await_file(name: str) -> None:
    """As ``wait_for``."""
    while not (HERE / name).exists():  # noqa: ASYNC110  who makes the file is another process
        await asyncio.sleep(0.005)
