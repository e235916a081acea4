"""Where a node remembers by itself what was revoked: in a file of this machine."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any

from umbel.errors import ConfigurationError, StoreError
from umbel.ports import Marks
from umbel.revoking import marks_at, state_url

logger = logging.getLogger("umbel.worker")


async def marks_here(conf: Mapping[str, Any], folder: str | None, stack: AsyncExitStack) -> Marks:
    """Marks in ``folder``, else in the usual one; ``stack`` lets go of them.

    Raises ``ConfigurationError`` when the folder that was asked for cannot be used. Where the usual one cannot, there
    are marks in memory, with a warning.
    """
    url = state_url(conf, folder)
    try:
        marks: Marks = await stack.enter_async_context(marks_at(url, conf))
        await marks.put_marks([])  # which makes the file, or says why it cannot be
    except (ConfigurationError, StoreError) as error:
        if folder is not None:
            raise ConfigurationError(f"worker_state_dir={folder}: nothing can be kept there: {error}") from error
        logger.warning("What is revoked is forgotten when this worker ends, for it cannot be kept: %s", error)
        marks = await stack.enter_async_context(marks_at("memory://umbel-state", conf))
    return marks
