"""What every result backend must do that joins the parts of chords."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Any, Protocol, Self

import anyio
import pytest

from umbel.joins import Joined, Joins, Part
from umbel.testing.conformance.harness import PATIENCE, AdapterSuite, until


class JoinsAdapter(Joins, Protocol):
    """An adapter with the power."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def part(
    group: str, number: int, end: bytes = b"", *, placed: bool = True, seconds: float = 3600.0, **more: Any
) -> Part:
    begin = b"%04d:" % number
    place = number if placed else None
    return Part(group, f"{group}.{number}", begin + end, (0, len(begin)), place, time.time() + seconds, **more)


class JoinsConformance(AdapterSuite):
    """Counting parts and joining them once. Override ``make_backend``."""

    @pytest.fixture
    def make_backend(self) -> Callable[[], JoinsAdapter]:
        """Makes an adapter that is not entered yet; all that one test makes are on the same store."""
        pytest.fail("override the fixture make_backend")

    @pytest.fixture
    async def backend(self, make_backend: Callable[[], JoinsAdapter]) -> AsyncIterator[JoinsAdapter]:
        async with make_backend() as backend:
            yield backend

    @pytest.fixture
    def group(self) -> str:
        """A group's id that no other test uses."""
        return f"{uuid.uuid4()}"

    async def expect(self, backend: Joins, group: str, parts: int) -> None:
        await backend.expect({group: parts}, time.time() + 3600)

    async def test_it_offers_the_power(self, backend: JoinsAdapter) -> None:
        assert isinstance(backend, Joins)

    async def test_the_last_part_is_given_all_in_their_order(self, backend: JoinsAdapter, group: str) -> None:
        await self.expect(backend, group, 3)
        ends = [part(group, number, b"end") for number in range(3)]
        assert await backend.join(ends[2]) is None
        assert await backend.join(ends[0]) is None
        assert await backend.join(ends[1]) == Joined([each.payload for each in ends])

    async def test_parts_without_a_place_come_last(self, backend: JoinsAdapter, group: str) -> None:
        await self.expect(backend, group, 2)
        first, last = part(group, 1), part(group, 0, placed=False)
        assert await backend.join(last) is None
        assert await backend.join(first) == Joined([first.payload, last.payload])

    async def test_a_part_that_comes_twice_counts_once_with_its_newest_end(
        self, backend: JoinsAdapter, group: str
    ) -> None:
        await self.expect(backend, group, 2)
        for end in (b"old", b"old", b"new"):
            assert await backend.join(part(group, 0, end)) is None
        other = part(group, 1)
        assert await backend.join(other) == Joined([part(group, 0, b"new").payload, other.payload])

    async def test_parts_at_the_same_place_are_all_kept(self, backend: JoinsAdapter, group: str) -> None:
        await self.expect(backend, group, 2)
        assert await backend.join(part(group, 10)._replace(place=0)) is None
        joined = await backend.join(part(group, 1000)._replace(place=0))
        assert joined is not None
        assert len(joined.ends) == 2

    async def test_who_was_given_them_is_given_them_again_and_nobody_else(
        self, backend: JoinsAdapter, group: str
    ) -> None:
        await self.expect(backend, group, 2)
        await backend.join(part(group, 0, b"end"))
        assert await backend.join(part(group, 1, b"end")) is not None
        assert await backend.join(part(group, 0, b"late")) is None
        again = await backend.join(part(group, 1, b"new"))
        assert again == Joined([part(group, 0, b"end").payload, part(group, 1, b"new").payload])

    async def test_the_newest_link_is_given_with_the_ends(self, backend: JoinsAdapter, group: str) -> None:
        await self.expect(backend, group, 3)
        assert await backend.given(group) is None
        for number, link in enumerate((b"old", b"new")):
            assert await backend.join(part(group, number, link=link)) is None
        assert await backend.given(group) is None
        joined = await backend.join(part(group, 2))
        assert joined == Joined([part(group, number).payload for number in range(3)], link=b"new")
        assert await backend.given(group) == joined

    async def test_a_group_stands_at_the_desk_of_its_last_part_until_its_body_is_sent(
        self, backend: JoinsAdapter, group: str
    ) -> None:
        desk, other = f"desk-{group}", f"desk of others-{group}"
        await self.expect(backend, group, 2)
        await backend.join(part(group, 0, link=b"0", desk=other))
        assert await backend.unsent(other, 0.0) == {}
        assert await backend.join(part(group, 1, link=b"1", desk=desk)) is not None
        assert await backend.unsent(other, 0.0) == {}
        assert await backend.unsent(desk, 0.0) == {group: b"1"}
        assert await backend.unsent(desk, 3600.0) == {group: b"1"}
        assert await backend.unsent(desk, 3600.0) == {}
        await backend.hold(desk, [group, "another"], 0.0)
        assert await backend.unsent(desk, 0.0) == {group: b"1"}
        await backend.sent(desk, [group])
        await backend.hold(desk, [group], 0.0)
        assert await backend.unsent(desk, 0.0) == {}

    async def test_a_claim_keeps_others_away(self, backend: JoinsAdapter, group: str) -> None:
        desk = f"desk-{group}"
        await self.expect(backend, group, 1)
        for claim, found in ((3600.0, {}), (0.0, {group: b"0"})):
            assert await backend.join(part(group, 0, link=b"0", desk=desk, claim=claim)) is not None
            assert await backend.unsent(desk, 0.0) == found

    async def test_a_part_that_can_come_again_stands_at_no_desk(self, backend: JoinsAdapter, group: str) -> None:
        await self.expect(backend, group, 1)
        assert await backend.join(part(group, 0, link=b"0")) is not None
        assert await backend.unsent("", 0.0) == {}

    async def test_parts_may_end_before_their_number_is_known(self, backend: JoinsAdapter, group: str) -> None:
        assert await backend.join(part(group, 0)) is None
        await self.expect(backend, group, 2)
        assert await backend.join(part(group, 1)) is not None

    async def test_groups_do_not_mix(self, backend: JoinsAdapter, group: str) -> None:
        await backend.expect({group: 1, f"{group}-b": 2}, time.time() + 3600)
        assert await backend.join(part(f"{group}-b", 0)) is None
        assert await backend.join(part(group, 0)) == Joined([part(group, 0).payload])

    async def test_what_has_expired_is_as_good_as_not_there(self, backend: JoinsAdapter, group: str) -> None:
        await backend.expect({group: 2}, time.time() + 3600)
        await backend.join(part(group, 0, seconds=0.1))
        tries = 0

        async def is_forgotten() -> bool:
            nonlocal tries
            tries += 1
            own = f"{group}-{tries}"
            await backend.expect({own: 2}, time.time() + 3600)
            await backend.join(part(own, 0, seconds=0.1))
            await anyio.sleep(0.05 * tries)
            return await backend.join(part(own, 1)) is None

        await until(is_forgotten)

    async def test_of_many_that_end_at_once_one_is_given_all(
        self, make_backend: Callable[[], JoinsAdapter], backend: JoinsAdapter, group: str
    ) -> None:
        given: list[Joined] = []
        await self.expect(backend, group, 40)

        async def end(adapter: Joins, number: int) -> None:
            joined = await adapter.join(part(group, number, b"x"))
            if joined is not None:
                given.append(joined)

        async with make_backend() as other:
            with anyio.fail_after(PATIENCE):
                async with anyio.create_task_group() as tasks:
                    for number in range(40):
                        tasks.start_soon(end, other if number % 2 else backend, number)
        assert given == [Joined([part(group, number, b"x").payload for number in range(40)])]
