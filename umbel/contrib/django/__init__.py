"""Progress for users of Django sites, with ASGI and WSGI: ``path("umbel/", include(tasks.urls))``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from umbel.web import Answer, Asked, Desk

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponseBase
    from django.urls import URLPattern

__all__ = ["Progress"]


class Progress(Desk):
    """See ``umbel.web.Desk``; ``authorize`` and ``user`` get the ``HttpRequest``.

    Without ``secret`` and ``authorize`` tickets are signed with the site's ``SECRET_KEY`` and its fallbacks, without
    ``user`` a user is who is logged in. Under WSGI a stream would take a thread of the server for each page that is
    open, so none is offered there: pages ask again.
    """

    def __init__(self, app: Any, *, secret: Any = None, authorize: Any = None, user: Any = None, **more: Any) -> None:
        from django.conf import settings

        if secret is None and authorize is None:
            secret = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
        super().__init__(app, secret=secret, authorize=authorize, user=user or _logged_in, **more)

    @property
    def urls(self) -> Sequence[URLPattern]:
        """Everything below the prefix, for ``include``."""
        from django.urls import path

        return [path("<path:path>", _exempt(self.endpoint), name="umbel")]

    def endpoint(self, request: HttpRequest, path: str) -> HttpResponseBase:
        """Answer a request; the check of its origin is the desk's own."""
        from django.core.handlers.asgi import ASGIRequest

        asked = Asked(
            method=request.method or "GET",
            path=path,
            base=request.path[: len(request.path) - len(path)],
            query=request.META.get("QUERY_STRING", ""),
            headers={name.lower(): value for name, value in request.headers.items()},
            body=request.body if request.method == "POST" else b"",
            native=request,
            streams=isinstance(request, ASGIRequest),
        )
        return _as_response(self.answer_now(asked))


def _exempt(view: Any) -> Any:
    from django.views.decorators.csrf import csrf_exempt

    def umbel(request: HttpRequest, path: str) -> HttpResponseBase:
        answer: HttpResponseBase = view(request, path)
        return answer

    return csrf_exempt(umbel)


def _logged_in(request: HttpRequest) -> Any:
    user = getattr(request, "user", None)
    return user.pk if user is not None and user.is_authenticated else None


def _as_response(answer: Answer) -> HttpResponseBase:
    from django.http import HttpResponse, StreamingHttpResponse

    response: HttpResponseBase
    if isinstance(answer.body, bytes):
        response = HttpResponse(answer.body, status=answer.status)
    else:
        response = StreamingHttpResponse(answer.body, status=answer.status)
    for name, value in answer.all_headers:
        response[name] = value
    return response
