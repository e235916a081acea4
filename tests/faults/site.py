"""Real workers that run the mill's tasks, a supervisor that restarts them, and a killer that chooses by seed."""

from __future__ import annotations

import math
import os
import random
import signal
import sqlite3
import time
from collections.abc import Callable, Collection, Iterable
from contextlib import closing, suppress
from pathlib import Path
from typing import NamedTuple

from tests.faults.checker import PATIENCE, Diary, Ledger
from tests.faults.mill import open_mill
from tests.worker.process import Shop, Worker, children
from umbel.app import Umbel

MILL = """
import os
from pathlib import Path
from umbel import Umbel
from tests.faults.mill import open_mill
from tests.faults.poison import open_cupboard
folder = Path(os.environ["SHOP_FOLDER"])
app = open_cupboard(open_mill(Umbel("mill"), folder / "diary"), folder)
"""

WITNESS = """
CREATE TABLE witness (id TEXT, state TEXT);
CREATE TRIGGER first_record AFTER INSERT ON results WHEN new.final
BEGIN INSERT INTO witness VALUES (new.id, new.state); END;
CREATE TRIGGER next_record AFTER UPDATE ON results WHEN new.final
BEGIN INSERT INTO witness VALUES (new.id, new.state); END;
"""


class Site(Shop):
    """A shop whose workers run the mill's tasks; the test's own ``app`` knows them too.

    ``place`` is the folder of the database file where it is not ``folder``.
    """

    def __init__(self, folder: Path, place: Path | None = None) -> None:
        super().__init__(folder)
        (folder / "shop.py").write_text(MILL)
        self.path = (place or folder) / "umbel.db"
        self.url = self.environ["UMBEL_BROKER_URL"] = f"sqlite:///{self.path}"
        self.app = open_mill(Umbel("client", broker=self.url, set_as_current=False), folder / "diary")
        self.watcher = self.app
        """Reads what the ledgers ask for."""
        self.notes = Diary(folder / "diary")

    def ledger(self, scenario: str) -> Ledger:
        """An account of what is sent here."""
        return Ledger(scenario, self.watcher, self.notes, self.dead)

    def query(self, statement: str) -> list[tuple[object, ...]]:
        """What one reading statement gives, on a connection of its own."""
        with closing(sqlite3.connect(self.path, timeout=PATIENCE)) as connection:
            return connection.execute(statement).fetchall()

    def dead(self) -> Collection[str]:
        """The ids of the dead letters."""
        return {str(task_id) for (task_id,) in self.query("SELECT id FROM dead")}

    def witness(self) -> None:
        """From now on have the database itself write down every final record that it takes."""
        with closing(sqlite3.connect(self.path, timeout=PATIENCE)) as connection:
            connection.executescript(WITNESS)

    def written_twice(self) -> list[tuple[object, ...]]:
        """Ids with more than one final record since ``witness``, with the states in order."""
        return self.query("SELECT id, group_concat(state) FROM witness GROUP BY id HAVING count(*) > 1")

    def left(self) -> int:
        """Messages that are there: ready, delayed or claimed."""
        return int(str(self.query("SELECT count(*) FROM messages")[0][0]))


class Tree(NamedTuple):
    """The processes of one worker as they are now."""

    node: int
    server: int | None
    runners: list[int]


def tree_of(worker: Worker) -> Tree:
    """The node, the fork server right below it, the runners below that."""
    node = worker.process.pid
    servers = [pid for pid in children(node) if parent_of(pid) == node]
    server = servers[0] if servers else None
    runners = [pid for pid in children(server) if parent_of(pid) == server] if server else []
    return Tree(node, server, runners)


def parent_of(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, IndexError):
        return 0


def memory(pids: Iterable[int]) -> float:
    """Megabytes that these processes hold; a page that several share counts in parts (PSS)."""
    total = 0
    for pid in pids:
        with suppress(FileNotFoundError, ProcessLookupError):
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1024


class Supervisor:
    """Keeps one worker running at ``site``: starts another as soon as one has ended."""

    def __init__(self, site: Site, *flags: str) -> None:
        self._site = site
        self._flags = flags
        self.worker = site.worker(*flags)
        self.restarts = 0

    def look(self) -> None:
        """Restart the worker if it has ended."""
        if self.worker.process.poll() is not None:
            self.worker = self._site.worker(*self._flags, ready=False)
            self.restarts += 1


class Killer:
    """Kills parts of a worker, each time that the tasks have noted so many more runs. ``chance`` decides what and when.

    ``kinds`` are names of methods; with ``most`` kills in the ledger it is enough.
    """

    def __init__(
        self,
        ledger: Ledger,
        supervisor: Supervisor,
        chance: random.Random,
        kinds: Collection[str],
        most: float = math.inf,
    ) -> None:
        self._ledger = ledger
        self._supervisor = supervisor
        self._chance = chance
        self._kinds = sorted(kinds)
        self._most = most
        self._next = self._gap()
        self._killed_at: tuple[float, int] | None = None
        self.kills: list[str] = []

    def _gap(self) -> int:
        return self._chance.randint(10, 40)

    def look(self) -> None:
        """Kill if it is time to."""
        lines = self._ledger.diary.read()
        self._time(lines)
        enough = self._ledger.killed >= self._most
        if enough or lines < self._next or self._supervisor.worker.process.poll() is not None:
            return
        kind = self._chance.choice(self._kinds)
        tree = tree_of(self._supervisor.worker)
        victims: list[int] = getattr(self, kind)(tree)
        if not victims:
            return
        for pid in victims:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.kills.append(kind)
        self._ledger.killed += 1
        lines = self._ledger.diary.read()
        self._killed_at = (time.monotonic(), lines)
        self._next = lines + self._gap()

    def _time(self, lines: int) -> None:
        if self._killed_at is not None and lines > self._killed_at[1]:
            seconds = time.monotonic() - self._killed_at[0]
            self._ledger.recovered = max(seconds, self._ledger.recovered or 0.0)
            self._killed_at = None

    # -- what to kill

    def runner(self, tree: Tree) -> list[int]:
        """One runner."""
        return [self._chance.choice(tree.runners)] if tree.runners else []

    def node(self, tree: Tree) -> list[int]:
        """The node alone."""
        return [tree.node]

    def whole(self, tree: Tree) -> list[int]:
        """Everything at once."""
        return [tree.node, *([tree.server] if tree.server else []), *tree.runners]

    def server(self, tree: Tree) -> list[int]:
        """The fork server alone."""
        return [tree.server] if tree.server else []


def until(condition: Callable[[], bool], *each: Callable[[], None], what: Callable[[], object]) -> None:
    """Call ``each`` in turn until the condition holds; fail with ``what()`` when it never does."""
    deadline = time.monotonic() + PATIENCE
    while True:
        for call in each:
            call()
        if condition():
            return
        assert time.monotonic() < deadline, f"it never happened: {what()}"
        time.sleep(0.005)
