"""One channel of a connection: methods with their answers, confirmed publishing, deliveries."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, Protocol

from pamqp import commands
from pamqp.frame import unmarshal

from umbel.errors import StoreError, StoreRefused, StoreUnreachable
from umbel.stores.amqp import frames
from umbel.stores.amqp.address import Address
from umbel.stores.amqp.methods import method
from umbel.wire.amqp import id_and_priority

_SIZE = struct.Struct(">Q")


class Way(Protocol):
    """What a channel uses of its connection."""

    address: Address
    piece: int

    def send(self, channel: int, method: Any) -> None: ...

    def write(self, data: bytes) -> None: ...

    def write_soon(self, parts: Iterable[bytes]) -> None: ...

    @property
    def takes_more(self) -> bool: ...

    async def writable(self) -> None: ...

    def forget(self, number: int) -> None: ...


class Arrival(NamedTuple):
    """A message as it came; ``tag`` is what settles it."""

    tag: int
    redelivered: bool
    exchange: str
    key: str
    head: bytes
    body: bytes
    consumer: str


class Parcel(NamedTuple):
    """A message to publish; ``start`` is its method frame."""

    start: bytes
    head: bytes
    body: bytes


class ChannelRefused(StoreError):
    """The server closed the channel: ``code`` says why (404 no such thing, 405 locked, 406 not as it is)."""

    def __init__(self, code: int, text: str, address: object) -> None:
        self.code = code
        self.text = text
        super().__init__(f"{address}: {code} {text}")


class Unroutable(StoreRefused):
    """No queue takes the messages of these ``ids``; the others of the same call were taken."""

    def __init__(self, text: str, ids: frozenset[str]) -> None:
        self.ids = ids
        super().__init__(text)


Then = Callable[[StoreError | None], None]
"""Called with how something ended: what it would have raised, or None."""


class Batch:
    """Messages that were published together and are not all confirmed yet."""

    __slots__ = ("left", "parcels", "refused", "returned", "then")

    def __init__(self, parcels: Sequence[Parcel], then: Then) -> None:
        self.left = len(parcels)
        self.parcels = parcels
        self.then = then
        self.refused: list[str] = []
        """Why the server would not take some."""
        self.returned: set[str] = set()
        """The ids of those that no queue takes."""

    def outcome(self, address: object) -> StoreError | None:
        """What the server said of them, now that it has of all."""
        if not self.refused:
            return None
        why = f"{address}: {'; '.join(dict.fromkeys(self.refused))}"
        if len(self.refused) == len(self.returned):
            return Unroutable(why, frozenset(self.returned))
        return StoreRefused(why)


class Channel:
    """Made by ``Connection.channel``. One method at a time waits for its answer; others wait in line."""

    def __init__(self, connection: Way, number: int) -> None:
        self.connection = connection
        self.number = number
        self.ended: StoreError | None = None
        """Why it is closed."""
        self.on_end: Callable[[StoreError], None] | None = None
        self._lock = asyncio.Lock()
        self._answers: list[tuple[type[Any], asyncio.Future[Any]]] = []
        """What is to come, also where nobody waits for it any more. Of one kind it comes in this order; that a consumer
        was started may be told after the answers to later questions, or never where the channel is closed."""
        self._leaving: asyncio.Future[Any] | None = None
        self._sinks: dict[str, Callable[[list[Arrival]], None]] = {}
        self._cancelled: dict[str, Callable[[], None]] = {}
        self._arrived: list[Arrival] = []
        self._start: tuple[Any, ...] | None = None
        self._size = 0
        self._head = b""
        self._pieces: list[bytes] = []
        self._got = 0
        self._confirming = False
        self.published = 0
        """How many messages were written to it."""
        self._confirmed = 0
        self._unconfirmed: dict[int, Batch] = {}

    # -- methods --------------------------------------------------------------------------------------------------

    async def call(self, question: Any, answer: type[Any]) -> Any:
        """Send a method and return its answer; raises ``ChannelRefused``, or what ended the connection.

        Is the call cancelled, the server does all the same what it was asked to.
        """
        async with self._lock:
            self.check()
            return await self._ask(question, answer)

    def _ask(self, question: Any, answer: type[Any]) -> asyncio.Future[Any]:
        self.connection.send(self.number, question)
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._answers.append((answer, future))
        return future

    def check(self) -> None:
        """Raise why it is closed, if it is."""
        if self.ended is not None:
            raise self.ended
        if self._leaving is not None:
            raise self._closed

    @property
    def _closed(self) -> StoreError:
        return StoreUnreachable(f"{self.connection.address}: the channel was closed")

    def leave(self) -> asyncio.Future[Any]:
        """Have the server close it, and take nothing more; what this gives is done when it has. Idempotent; raises what
        ended it."""
        if self._leaving is None:
            self.check()
            self._leaving = self._ask(commands.Channel.Close(200, "", 0, 0), commands.Channel.CloseOk)
            self._leaving.add_done_callback(self._left)
        return self._leaving

    def _left(self, answer: asyncio.Future[Any]) -> None:
        answer.exception()  # known: it has ended otherwise
        self.end(self._closed)

    async def close(self) -> None:
        """Close it; idempotent."""
        if self.ended is None:
            with contextlib.suppress(StoreError):
                await asyncio.shield(self.leave())
            self.end(self._closed)

    def end(self, why: StoreError) -> None:
        """It is closed: everyone who waits gets ``why``."""
        if self.ended is not None:
            return
        self.ended = why
        self.connection.forget(self.number)
        for _, answer in self._answers:
            if not answer.done():
                answer.set_exception(why)
        self._answers.clear()
        lost, self._unconfirmed = dict.fromkeys(self._unconfirmed.values()), {}
        for batch in lost:
            batch.then(why)
        if self.on_end is not None:
            self.on_end(why)

    # -- consuming ------------------------------------------------------------------------------------------------

    async def heard(self) -> None:
        """Return when the server has taken in all that was sent over this channel so far: it answers in order."""
        await self.call(commands.Channel.Flow(True), commands.Channel.FlowOk)

    async def qos(self, prefetch: int) -> None:
        """How many deliveries each consumer started from now on may hold."""
        await self.call(commands.Basic.Qos(0, prefetch, False), commands.Basic.QosOk)

    async def consume(
        self,
        queue: str,
        tag: str,
        sink: Callable[[list[Arrival]], None],
        *,
        no_ack: bool = False,
        exclusive: bool = False,
        arguments: dict[str, Any] | None = None,
        cancelled: Callable[[], None] | None = None,
    ) -> None:
        """Have ``sink`` called with what arrives, in batches; ``cancelled`` when the server ends it, its queue gone.

        Is this cancelled, what arrives is the sink's all the same, until ``cancel`` or the end of the channel.
        """
        self._sinks[tag] = sink
        if cancelled is not None:
            self._cancelled[tag] = cancelled
        made = method(
            commands.Basic.Consume,
            queue=queue,
            consumer_tag=tag,
            no_ack=no_ack,
            exclusive=exclusive,
            arguments=arguments or {},
        )
        await self.call(made, commands.Basic.ConsumeOk)

    async def cancel(self, tag: str) -> None:
        """No more of this consumer; what had come before is still its own."""
        await self.call(commands.Basic.Cancel(tag), commands.Basic.CancelOk)
        self.flush()
        self._sinks.pop(tag, None)
        self._cancelled.pop(tag, None)

    def settle(self, data: bytes) -> None:
        """Send frames that settle deliveries."""
        self.check()
        self.connection.write(data)

    # -- publishing -----------------------------------------------------------------------------------------------

    async def confirm(self) -> None:
        """Have the server confirm what is published from now on."""
        if not self._confirming:
            await self.call(commands.Confirm.Select(), commands.Confirm.SelectOk)
            self._confirming = True

    async def publish(self, parcels: Sequence[Parcel]) -> None:
        """Return when the server has taken all of them for good.

        Raises ``Unroutable`` for what no queue takes, ``StoreRefused`` for what the server rejected, and what ended the
        connection; then some of them may have been taken.
        """
        if not parcels:
            return
        await self.connection.writable()
        done: asyncio.Future[StoreError | None] = asyncio.get_running_loop().create_future()
        self.post(parcels, lambda error: None if done.done() else done.set_result(error))
        error = await done
        if error is not None:
            raise error

    def post(self, parcels: Sequence[Parcel], then: Then) -> None:
        """As ``publish`` of at least one, not awaited, in one write with others of this turn of the loop.

        ``then`` is called with what ``publish`` would have raised, or None. Raises why the channel is closed.
        """
        self.check()
        number, piece = self.number, self.connection.piece
        batch = Batch(parcels, then)
        parts: list[bytes] = []
        for parcel in parcels:
            self.published += 1
            self._unconfirmed[self.published] = batch
            parts.append(parcel.start)
            parts += frames.content(number, parcel.head, parcel.body, piece)
        self.connection.write_soon(parts)

    def _confirm(self, tag: int, multiple: bool, taken: bool) -> None:
        first = self._confirmed + 1 if multiple else tag
        if multiple:
            self._confirmed = tag
        for number in range(first, tag + 1):
            batch = self._unconfirmed.pop(number, None)
            if batch is None:
                continue
            if not taken:
                batch.refused.append("the server could not keep the message (basic.nack)")
            batch.left -= 1
            if not batch.left:
                batch.then(batch.outcome(self.connection.address))

    def _returned(self, code: int, text: str, exchange: str, key: str, head: bytes) -> None:
        where = f"the exchange {exchange!r} with the key {key!r}" if exchange else f"the queue {key!r}"
        what = f"no queue takes what is sent to {where}: {code} {text}"
        id = id_and_priority(head)[0]
        for batch in dict.fromkeys(self._unconfirmed.values()):
            if any(id_and_priority(parcel.head)[0] == id for parcel in batch.parcels):
                batch.refused.append(what)
                batch.returned.add(id)
                return

    # -- frames that arrive ---------------------------------------------------------------------------------------

    def delivered(self, method: bytes, head: bytes, body: bytes) -> None:
        """A delivery that came whole; raises as ``frame``."""
        consumer, tag, redelivered, exchange, key = frames.read_deliver(method)
        self._arrived.append(Arrival(tag, redelivered, exchange, key, head, body, consumer))

    def frame(self, kind: int, payload: bytes, whole: bytes) -> None:
        """A frame for this channel; raises ``ValueError`` for one that cannot be."""
        if kind == frames.METHOD:
            start = payload[:4]
            if start == frames.DELIVER_START:
                self._start = frames.read_deliver(payload)
            elif start == frames.ACK_START:
                tag, multiple = frames.read_confirm(payload)
                self._confirm(tag, multiple, True)
            elif start == frames.NACK_START:
                tag, multiple = frames.read_confirm(payload)
                self._confirm(tag, multiple, False)
            elif start == frames.RETURN_START:
                self._start = frames.read_return(payload)
            else:
                self._method(unmarshal(whole)[2])
        elif kind == frames.HEADER:
            (self._size,) = _SIZE.unpack_from(payload, 4)
            self._head = payload[12:]
            if not self._size:
                self._complete(b"")
        elif kind == frames.BODY:
            if len(payload) == self._size:
                self._complete(payload)
                return
            self._pieces.append(payload)
            self._got += len(payload)
            if self._got >= self._size:
                body = b"".join(self._pieces)
                self._pieces, self._got = [], 0
                self._complete(body)
        else:
            raise ValueError(f"a frame of type {kind} on channel {self.number}")

    def _complete(self, body: bytes) -> None:
        start, self._start = self._start, None
        if start is None:
            raise ValueError("a message that nothing announced")
        if len(start) == 4:
            self._returned(*start, self._head)
            return
        consumer, tag, redelivered, exchange, key = start
        self._arrived.append(Arrival(tag, redelivered, exchange, key, self._head, body, consumer))

    def flush(self) -> None:
        """Hand what has arrived to those who asked for it."""
        if not self._arrived:
            return
        arrived, self._arrived = self._arrived, []
        by_consumer: dict[str, list[Arrival]] = {}
        for arrival in arrived:
            by_consumer.setdefault(arrival.consumer, []).append(arrival)
        for consumer, batch in by_consumer.items():
            sink = self._sinks.get(consumer)
            if sink is not None:
                sink(batch)

    def _method(self, told: Any) -> None:
        awaited = next((each for each in self._answers if isinstance(told, each[0])), None)
        if awaited is not None:
            self._answers.remove(awaited)
            if not awaited[1].done():
                awaited[1].set_result(told)
        elif isinstance(told, commands.Channel.Close):
            self.connection.send(self.number, commands.Channel.CloseOk())
            self.end(ChannelRefused(told.reply_code or 0, str(told.reply_text), self.connection.address))
        elif isinstance(told, commands.Channel.Flow):
            self.connection.send(self.number, commands.Channel.FlowOk(bool(told.active)))
        elif isinstance(told, commands.Basic.Cancel):
            heard = self._cancelled.pop(str(told.consumer_tag), None)
            if heard is not None:
                heard()
        else:
            raise ValueError(f"{told.name} was not asked for")
