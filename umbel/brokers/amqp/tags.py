"""Which deliveries of one channel are not settled yet, and which frames settle some of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from umbel.stores.amqp import frames


class Tags:
    """The delivery tags of a channel, ascending."""

    def __init__(self, channel: int) -> None:
        self._channel = channel
        self._open: dict[int, None] = {}
        self._newest = 0

    def __len__(self) -> int:
        return len(self._open)

    def __contains__(self, tag: int) -> bool:
        return tag in self._open

    def arrived(self, tags: Sequence[int]) -> None:
        """The server has handed these out, ascending; those of another consumer may lie between those that came before.

        All that arrived together are told of before any of them is settled.
        """
        in_order = tags[0] > self._newest
        self._open.update(dict.fromkeys(tags))
        if not in_order:
            self._open = dict.fromkeys(sorted(self._open))
        self._newest = max(self._newest, tags[-1])

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
