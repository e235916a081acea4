"""What the tables of a store ask of it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Protocol, TypeVar

from umbel.clock import Clock
from umbel.stores.sqlite.access import Access
from umbel.stores.sqlite.seats import Seat

T = TypeVar("T")


class Keeping(Protocol):
    """A store, see ``SqliteStore``."""

    access: Access
    clock: Clock

    def reader(self) -> Seat: ...

    def read(self, work: Callable[[sqlite3.Connection], T]) -> T: ...

    def commit(self, work: Callable[[sqlite3.Connection], T], size: int = 0) -> T: ...

    def ring(self) -> None: ...
