"""What every broker must do that keeps dead letters."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Protocol

import anyio
import pytest

from umbel.model import ACK, Envelope, Route, Settlement, dead
from umbel.ports import Broker, DeadLetter, DeadLetters
from umbel.testing.conformance.harness import AdapterSuite, listening, settle_all, take, to, until

ROUNDING = 1.0
"""Seconds by which the store's clock may differ from this process's."""


class BurialBroker(Broker, DeadLetters, Protocol):
    """A broker with the power."""


async def bury(broker: Broker, queue: str, envelopes: Sequence[Envelope], reason: str = "why not") -> None:
    """Have these die, in their order."""
    await broker.publish(to(queue, envelopes))
    async with listening(await broker.consume([queue], len(envelopes))) as ear:
        await settle_all(ear.consumer, await ear.hears(len(envelopes)), dead(reason))


class DeadLettersConformance(AdapterSuite):
    """Listing, replaying, dropping. Override both fixtures."""

    @pytest.fixture
    def make_broker(self) -> Callable[[], BurialBroker]:
        """Makes an adapter that is not entered yet; all that one test makes are on the same store."""
        pytest.fail("override the fixture make_broker")

    @pytest.fixture
    def make_forgetful(self) -> Callable[[], BurialBroker]:
        """As ``make_broker``, on another store, with ``dead_letter_expires`` at half a second."""
        pytest.fail("override the fixture make_forgetful")

    @pytest.fixture
    async def broker(self, make_broker: Callable[[], BurialBroker]) -> AsyncIterator[BurialBroker]:
        async with make_broker() as broker:
            yield broker

    async def of(self, broker: DeadLetters, queue: str) -> list[DeadLetter]:
        """The dead letters of one queue: others may use the store, too."""
        letters: list[DeadLetter] = []
        after = 0
        while page := await broker.dead_letters(after, 100):
            letters += [letter for letter in page if letter.queue == queue]
            after = page[-1].number
        return letters

    async def test_it_offers_the_power(self, broker: BurialBroker) -> None:
        assert isinstance(broker, DeadLetters)

    # -- listing

    async def test_a_dead_letter_keeps_the_bytes_and_says_why_and_when(self, broker: BurialBroker, queue: str) -> None:
        envelope = self.envelope(broker, b"\x00\xff" + bytes(range(256)) * 400)
        began = time.time()
        await broker.publish([(Route(queue, priority=7), envelope)])
        async with listening(await broker.consume([queue], 1)) as ear:
            await settle_all(ear.consumer, await ear.hears(1), dead("żółw: it's \n dead"))
        (letter,) = await self.of(broker, queue)
        assert (letter.envelope, letter.queue, letter.priority) == (envelope, queue, 7)
        assert letter.reason == "żółw: it's \n dead"
        assert began - ROUNDING <= letter.died <= time.time() + ROUNDING
        assert type(letter.envelope.body) is bytes
        assert letter.number > 0

    async def test_they_come_in_the_order_of_their_numbers_the_newest_last(
        self, broker: BurialBroker, queue: str
    ) -> None:
        envelopes = self.numbered(broker, 6)
        await bury(broker, queue, envelopes[:3])
        await bury(broker, queue, envelopes[3:])
        letters = await self.of(broker, queue)
        assert [letter.envelope for letter in letters] == envelopes
        numbers = [letter.number for letter in letters]
        assert numbers == sorted(set(numbers))

    async def test_a_listing_begins_after_a_number_and_has_a_limit(self, broker: BurialBroker, queue: str) -> None:
        await bury(broker, queue, self.numbered(broker, 5))
        letters = await self.of(broker, queue)
        assert await broker.dead_letters(letters[1].number, 2) == letters[2:4]
        assert await broker.dead_letters(letters[4].number) == []
        assert await broker.dead_letters(letters[0].number - 1, 1) == letters[:1]

    async def test_letters_of_all_queues_stand_in_one_list(self, broker: BurialBroker, queue: str) -> None:
        before = max((letter.number for letter in await broker.dead_letters(0, 100_000)), default=0)
        for name in ("b", "a", "b"):
            await bury(broker, f"{queue}.{name}", self.numbered(broker, 1))
        found = [letter.queue for letter in await broker.dead_letters(before) if letter.queue.startswith(queue)]
        assert found == [f"{queue}.{name}" for name in "bab"]

    async def test_listing_and_purging_the_queue_take_nothing_away(self, broker: BurialBroker, queue: str) -> None:
        await bury(broker, queue, self.numbered(broker, 2))
        assert await broker.size(queue) == 0
        assert await broker.purge(queue) == 0
        assert len(await self.of(broker, queue)) == 2
        assert len(await self.of(broker, queue)) == 2

    async def test_a_second_adapter_sees_them(
        self, broker: BurialBroker, make_broker: Callable[[], BurialBroker], queue: str
    ) -> None:
        await bury(broker, queue, self.numbered(broker, 2))
        async with make_broker() as other:
            assert await self.of(other, queue) == await self.of(broker, queue)

    async def test_they_are_gone_when_their_time_is_over(
        self, make_forgetful: Callable[[], BurialBroker], queue: str
    ) -> None:
        async with make_forgetful() as broker:
            await bury(broker, queue, self.numbered(broker, 2))

            async def gone() -> bool:
                return await self.of(broker, queue) == []

            await until(gone)
            (fresh,) = self.numbered(broker, 1)
            await bury(broker, queue, [fresh])
            assert [letter.envelope for letter in await self.of(broker, queue)] == [fresh]

    # -- replaying

    async def test_a_replayed_letter_is_ready_at_once_in_its_queue_with_the_envelope_given(
        self, broker: BurialBroker, queue: str
    ) -> None:
        old, usual = self.numbered(broker, 2)
        await broker.publish([(Route(queue, priority=5), old)])
        async with listening(await broker.consume([queue], 1)) as ear:
            await settle_all(ear.consumer, await ear.hears(1), dead("poison"))
        (letter,) = await self.of(broker, queue)
        new = self.envelope(broker, b"new body", id=old.id)
        await broker.publish([(Route(queue, priority=3), usual)])
        assert await broker.replay([(letter.number, new)]) == 1
        first, second = await take(broker, queue, 2)
        assert (first.envelope, first.priority, first.redelivered) == (new, 5, False)
        assert second.envelope == usual
        assert await self.of(broker, queue) == []

    async def test_only_what_is_there_is_replayed_and_counted(self, broker: BurialBroker, queue: str) -> None:
        await bury(broker, queue, self.numbered(broker, 3))
        letters = await self.of(broker, queue)
        pairs = [(letter.number, letter.envelope) for letter in letters]
        assert await broker.replay([pairs[0], pairs[0], (letters[2].number + 10_000, pairs[1][1])]) == 1
        assert await broker.replay(pairs[:1]) == 0
        assert await broker.replay([]) == 0
        assert await broker.size(queue) == 1
        assert await self.of(broker, queue) == letters[1:]

    async def test_a_waiting_consumer_is_woken_by_a_replay(self, broker: BurialBroker, queue: str) -> None:
        await bury(broker, queue, self.numbered(broker, 3))
        letters = await self.of(broker, queue)
        async with listening(await broker.consume([queue], 10)) as ear:
            assert await broker.replay([(letter.number, letter.envelope) for letter in letters]) == 3
            deliveries = await ear.hears(3)
            assert [delivery.envelope for delivery in deliveries] == [letter.envelope for letter in letters]

    async def test_what_dies_again_is_a_new_letter(self, broker: BurialBroker, queue: str) -> None:
        await bury(broker, queue, self.numbered(broker, 2))
        first, second = await self.of(broker, queue)
        async with listening(await broker.consume([queue], 1)) as ear:
            await broker.replay([(first.number, first.envelope)])
            await settle_all(ear.consumer, await ear.hears(1), dead("again"))
        letters = await self.of(broker, queue)
        assert [letter.envelope for letter in letters] == [second.envelope, first.envelope]
        assert (letters[1].number > second.number, letters[1].reason) == (True, "again")

    async def test_two_who_replay_the_same_do_it_once(
        self, broker: BurialBroker, make_broker: Callable[[], BurialBroker], queue: str
    ) -> None:
        await bury(broker, queue, self.numbered(broker, 50))
        letters = await self.of(broker, queue)
        counts: list[int] = []

        async def replay(adapter: DeadLetters) -> None:
            for letter in letters:
                counts.append(await adapter.replay([(letter.number, letter.envelope)]))

        async with make_broker() as other, anyio.create_task_group() as group:
            group.start_soon(replay, broker)
            group.start_soon(replay, other)
        assert sum(counts) == 50
        assert await broker.size(queue) == 50
        assert await self.of(broker, queue) == []

    # -- dropping

    async def test_what_is_dropped_is_gone_for_good_and_counted(self, broker: BurialBroker, queue: str) -> None:
        await bury(broker, queue, self.numbered(broker, 3))
        letters = await self.of(broker, queue)
        numbers = [letter.number for letter in letters]
        assert await broker.drop_dead_letters([numbers[0], numbers[2], numbers[2] + 10_000]) == 2
        assert await broker.drop_dead_letters(numbers[:1]) == 0
        assert await broker.drop_dead_letters([]) == 0
        assert await self.of(broker, queue) == letters[1:2]
        assert await broker.replay([(numbers[0], letters[0].envelope)]) == 0
        assert await broker.size(queue) == 0

    async def test_a_number_is_never_used_twice(self, broker: BurialBroker, queue: str) -> None:
        await bury(broker, queue, self.numbered(broker, 1))
        (first,) = await self.of(broker, queue)
        await broker.drop_dead_letters([first.number])
        await bury(broker, queue, self.numbered(broker, 1))
        (second,) = await self.of(broker, queue)
        assert second.number > first.number

    # -- what else happens to a message

    async def test_only_the_verdict_dead_makes_one(self, broker: BurialBroker, queue: str) -> None:
        await broker.publish(to(queue, self.numbered(broker, 1)))
        async with listening(await broker.consume([queue], 1)) as ear:
            await ear.consumer.settle([Settlement(held, ACK) for held in await ear.hears(1)])
        assert await self.of(broker, queue) == []
