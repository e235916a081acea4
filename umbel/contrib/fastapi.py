"""Progress for users of FastAPI applications: ``api.include_router(tasks.router, prefix="/umbel")``."""

from __future__ import annotations

from functools import cached_property

from fastapi import APIRouter

from umbel.contrib import starlette


class Progress(starlette.Progress):
    """See ``umbel.web.Desk``; ``authorize`` and ``user`` get the request."""

    @cached_property
    def router(self) -> APIRouter:
        """Everything below the prefix."""
        router = APIRouter()
        router.add_route("/{path:path}", self.endpoint, methods=starlette.METHODS, include_in_schema=False)
        return router
