"""Identifiers: unique, ordered by time, the same where they must be, and never shared with a fork."""

from __future__ import annotations

import os
import socket
import time
import uuid
from itertools import pairwise

import pytest

from umbel.errors import ConfigurationError
from umbel.ids import new_id, new_ids, node_name


def test_an_id_is_a_uuid_of_version_7_in_its_standard_text() -> None:
    text = new_id()
    parsed = uuid.UUID(text)
    assert str(parsed) == text
    assert parsed.version == 7
    assert parsed.variant == uuid.RFC_4122


def test_an_id_begins_with_the_milliseconds_of_its_making() -> None:
    before = time.time_ns() // 1_000_000
    stamp = uuid.UUID(new_id()).int >> 80
    assert before <= stamp <= time.time_ns() // 1_000_000


def test_all_74_other_bits_vary() -> None:
    fixed = 0xF << 76 | 0b11 << 62
    ones, zeros = 0, 0
    for text in new_ids(500):
        number = uuid.UUID(text).int
        ones |= number
        zeros |= ~number
    assert ones & zeros & ~fixed & (1 << 80) - 1 == (1 << 80) - 1 & ~fixed


def test_many_ids_are_of_the_same_kind_and_strictly_increasing() -> None:
    many = new_ids(2000)
    assert len(many) == 2000
    assert all(one < next for one, next in pairwise(many))
    assert {uuid.UUID(text).version for text in many} == {7}
    assert {uuid.UUID(text).variant for text in many} == {uuid.RFC_4122}
    assert all(str(uuid.UUID(text)) == text for text in many)


def test_no_ids_are_none() -> None:
    assert new_ids(0) == []


def test_a_forked_process_makes_other_ids_than_its_parent() -> None:
    new_ids(10)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, "".join(text[14:] for text in [new_id(), *new_ids(3)]).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        theirs = pipe.read()
    assert os.waitpid(child, 0)[1] == 0
    ours = [text[14:] for text in [new_id(), *new_ids(3)]]
    assert len(theirs) == len("".join(ours))
    assert not any(random_part in theirs for random_part in ours)


def test_a_node_is_named_after_its_host() -> None:
    assert node_name() == f"umbel@{socket.gethostname()}"
    assert node_name("") == node_name(None) == node_name("%p") == node_name()


def test_the_letters_of_a_node_name_are_expanded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "box.example.org")
    assert node_name("w1@%h") == "w1@box.example.org"
    assert node_name("%n@%d") == "box@example.org"
    assert node_name("w%i%I@100%%") == "w@100%"


def test_a_node_name_without_an_at_sign_is_the_part_behind_it() -> None:
    assert node_name("left") == "umbel@left"


@pytest.mark.parametrize("template", ["w@%x", "w@%"])
def test_an_unknown_letter_in_a_node_name_is_refused_with_those_that_exist(template: str) -> None:
    with pytest.raises(ConfigurationError, match=r"means nothing here; use %h, %n, %d"):
        node_name(template)
