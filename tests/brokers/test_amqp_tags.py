"""Which acknowledgements may be put into one frame."""

from __future__ import annotations

from umbel.brokers.amqp.tags import Tags
from umbel.stores.amqp import frames


def test_the_oldest_are_acknowledged_in_one_frame_and_others_one_by_one() -> None:
    tags = Tags(1)
    tags.arrived([1, 2, 3, 4, 5])
    assert tags.ack([2, 1, 5]) == frames.ack(1, 2, True) + frames.ack(1, 5, False)
    assert tags.ack([3, 4]) == frames.ack(1, 4, True)
    assert len(tags) == 0


def test_what_another_consumer_got_in_between_is_not_acknowledged_with_the_rest() -> None:
    tags = Tags(1)
    tags.arrived([1, 3, 5])
    tags.arrived([2, 4])
    assert tags.ack([1, 3, 5]) == frames.ack(1, 1, False) + frames.ack(1, 3, False) + frames.ack(1, 5, False)
    assert tags.ack([2, 4]) == frames.ack(1, 4, True)


def test_what_goes_back_is_not_acknowledged() -> None:
    tags = Tags(1)
    tags.arrived([1, 2, 3])
    assert tags.give_back([2]) == frames.reject(1, 2, True)
    assert 2 not in tags
    assert tags.ack([1, 3]) == frames.ack(1, 3, True)
