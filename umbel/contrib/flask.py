"""Progress for users of Flask applications: ``site.register_blueprint(tasks.blueprint, url_prefix="/umbel")``."""

from __future__ import annotations

from functools import cached_property

from flask import Blueprint, Response, request

from umbel.web import Asked, Desk


class Progress(Desk):
    """See ``umbel.web.Desk``; ``authorize`` and ``user`` get ``flask.request``.

    A stream would take a thread of the server for each page that is open, so none is offered: pages ask again.
    """

    @cached_property
    def blueprint(self) -> Blueprint:
        """Everything below the prefix."""
        blueprint = Blueprint("umbel", __name__)
        blueprint.add_url_rule("/<path:path>", "umbel", self.endpoint, methods=["GET", "POST"])
        return blueprint

    def endpoint(self, path: str) -> Response:
        """Answer the request under way."""
        whole = request.script_root + request.path
        asked = Asked(
            method=request.method,
            path=path,
            base=whole[: len(whole) - len(path)],
            query=request.query_string.decode("latin-1"),
            headers={name.lower(): value for name, value in request.headers},
            body=request.get_data() if request.method == "POST" else b"",
            native=request,
            streams=False,
        )
        answer = self.answer_now(asked)
        assert isinstance(answer.body, bytes)
        return Response(answer.body, answer.status, answer.all_headers)
