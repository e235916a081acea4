"""What a running task says of how far it is: ``from umbel import progress, track``; outside a task it does nothing."""

from __future__ import annotations

from umbel.progress.reporter import Reporter, Track
from umbel.progress.snapshot import Children, PublicError, Snapshot, Stage

__all__ = [
    "Children",
    "PublicError",
    "Reporter",
    "Snapshot",
    "Stage",
    "Track",
    "advance",
    "check",
    "fail",
    "finish",
    "log",
    "message",
    "set",
    "stage",
    "stages",
    "track",
]

here = Reporter()
"""What ``self.progress`` is in a bound task; the functions of this module are its methods."""

advance = here.advance
check = here.check
fail = here.fail
finish = here.finish
log = here.log
message = here.message
set = here.set
stage = here.stage
stages = here.stages
track = here.track
