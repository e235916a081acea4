"""Progress for the users of web applications: endpoints and tickets, for any framework; ``umbel.contrib`` has faces."""

from __future__ import annotations

from umbel.web.desk import Desk
from umbel.web.exchange import Answer, Asked, Unauthenticated
from umbel.web.tickets import progress_ticket

__all__ = ["Answer", "Asked", "Desk", "Unauthenticated", "progress_ticket"]
