"""What the broker and the backend on an SQLite file have in common."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from umbel.stores.sqlite.location import locate
from umbel.stores.sqlite.marking import OffersMarks
from umbel.stores.sqlite.progressing import OffersProgress

if TYPE_CHECKING:
    from umbel.stores.sqlite.store import SqliteStore


class OnFile(OffersMarks, OffersProgress):
    """On the file that ``sqlite:///relative.db`` or ``sqlite:////absolute.db`` names; making it opens none."""

    def __init__(self, url: str, settings: Mapping[str, Any]) -> None:
        self._location = locate(url)
        self._settings = settings

    @cached_property
    def keeper(self) -> SqliteStore:
        """The store, which other adapters of this file in this process share."""
        from umbel.stores.sqlite.store import SqliteStore

        return SqliteStore.at(self._location, self._settings)

    async def __aenter__(self) -> Self:
        from umbel.stores.threads import in_thread

        await in_thread(self.keeper.open)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        from umbel.stores.threads import in_thread

        await in_thread(self.keeper.rest)
