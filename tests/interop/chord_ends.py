"""Two ends of a broker whose results are on Redis."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.interop.ends import HERE, Ends
from tools.redis_server import RedisServer

_RESULTS = (
    "celery-task-meta-*",
    "celery-taskset-meta-*",
    "umbel.join*",
    "umbel.body.*",
    "umbel.desk.*",
    "umbel.record.*",
    "umbel.progress.*",
)

_FOR_EVER = """
local found = {}
for _, pattern in ipairs(ARGV) do
    for _, key in ipairs(redis.call('KEYS', pattern)) do
        if redis.call('TTL', key) == -1 then
            found[#found + 1] = key
        end
    end
end
return found
"""


class ChordEnds(Ends):
    """Both ends, with the tasks of chords."""

    def __init__(self, folder: Path, url: str, redis: RedisServer, python: Path) -> None:
        super().__init__(folder, url, redis.url, python)
        self.redis = redis
        self._halting = False
        self._others = set(self._for_ever())
        shutil.copy(HERE / "chord_deeds.py", folder)
        with (folder / "deeds.py").open("a") as deeds:
            deeds.write("\n\nfrom chord_deeds import *\n")

    def _environ(self, end: str) -> dict[str, str]:
        more = {"INTEROP_HALTS_WHEN_JOINED": "1"} if self._halting else {}
        return {**super()._environ(end), **more}

    @contextmanager
    def halting(self) -> Iterator[None]:
        """Workers that are started meanwhile stop when they were given the ends of all parts of a chord."""
        self._halting = True
        yield
        self._halting = False

    def unexpiring(self) -> list[str]:
        """The keys of results and chords that would stay for ever, and were not there before."""
        return [key for key in self._for_ever() if key not in self._others]

    def _for_ever(self) -> list[str]:
        return self.redis.command("EVAL", _FOR_EVER, "0", *_RESULTS).split()
