"""Which deliveries of one channel are not settled yet, and which frames settle some of them."""

from __future__ import annotations

from collections.abc import Iterable

from umbel.stores.amqp import frames


class Tags:
    """The delivery tags of a channel, ascending."""

    def __init__(self, channel: int) -> None:
        self._channel = channel
        self._open: dict[int, None] = {}

    def __len__(self) -> int:
        return len(self._open)

    def __contains__(self, tag: int) -> bool:
        return tag in self._open

    def arrived(self, tags: Iterable[int]) -> None:
        """The server has handed these out."""
        self._open.update(dict.fromkeys(tags))

    def ack(self, tags: Iterable[int]) -> bytes:
        """The frames that settle these: those that nothing older is open before in one, the rest one by one."""
        chosen = set(tags)
        last, run = 0, 0
        for tag in self._open:
            if tag not in chosen:
                break
            last = tag
            run += 1
        parts = [frames.ack(self._channel, last, run > 1)] if run else []
        if run < len(chosen):
            parts += [frames.ack(self._channel, tag, False) for tag in sorted(chosen) if tag > last]
        for tag in chosen:
            del self._open[tag]
        return b"".join(parts)

    def give_back(self, tags: Iterable[int]) -> bytes:
        """The frames that put these back into their queue, the oldest first: it may be handed out again at once."""
        chosen = sorted(tags)
        for tag in chosen:
            del self._open[tag]
        return b"".join(frames.reject(self._channel, tag, True) for tag in chosen)
