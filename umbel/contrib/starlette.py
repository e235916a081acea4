"""Progress for users of Starlette applications: ``Mount("/umbel", routes=tasks.routes)``."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from umbel.web import Answer, Asked, Desk

METHODS = ["GET", "POST"]


class Progress(Desk):
    """See ``umbel.web.Desk``; ``authorize`` and ``user`` get a ``starlette.requests.Request``."""

    @property
    def routes(self) -> list[Route]:
        """Everything below the prefix, to be mounted there."""
        return [Route("/{path:path}", self.endpoint, methods=METHODS, name="umbel")]

    async def endpoint(self, request: Request) -> Response:
        """Answer a request."""
        return as_response(await self.answer(await as_asked(request)))


async def as_asked(request: Request) -> Asked:
    """The request as a desk knows it."""
    path = request.path_params["path"]
    whole = request.url.path
    return Asked(
        method=request.method,
        path=path,
        base=whole[: len(whole) - len(path)],
        query=request.url.query,
        headers=dict(request.headers),
        body=await request.body() if request.method == "POST" else b"",
        native=request,
    )


def as_response(answer: Answer) -> Response:
    """The answer as Starlette sends it."""
    response: Any
    if isinstance(answer.body, bytes):
        response = Response(answer.body, answer.status)
    else:
        response = StreamingResponse(answer.body, answer.status)
    for name, value in answer.all_headers:
        response.headers[name] = value
    return response  # type: ignore[no-any-return]
