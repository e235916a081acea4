"""Looks that every promise of docs/guarantees.md names tests that are there and run."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from tests.docs.pages import quoted, tables

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = ROOT / "docs" / "guarantees.md"
PROMISES = [row for head, *rows in tables(PAGE.read_text()) if head == ["promise", "test"] for row in rows]
NAMED = sorted({name for name in quoted(PAGE.read_text()) if "::" in name})
ADAPTERS = ("tests/brokers/test_sqlite.py", "tests/brokers/test_memory.py")
BACKENDS = ("tests/backends/test_sqlite.py", "tests/backends/test_memory.py")
PROGRESS = ("tests/brokers/test_powers.py", "tests/brokers/redis/test_suites.py")


@cache
def found_in(place: str) -> frozenset[str]:
    """The tests that a file defines, those of classes with the class in front."""
    found = set()
    for node in ast.parse((ROOT / place).read_text()).body:
        inside = node.body if isinstance(node, ast.ClassDef) else [node]
        prefix = f"{node.name}::" if isinstance(node, ast.ClassDef) else ""
        found |= {f"{prefix}{each.name}" for each in inside if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)}
    return frozenset(found)


@cache
def suites_in(place: str) -> frozenset[str]:
    """The suites that the test classes of a file are made of."""
    tree = ast.parse((ROOT / place).read_text())
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name.startswith("Test")]
    return frozenset(each.id for node in classes for each in node.bases if isinstance(each, ast.Name))


@pytest.mark.parametrize("promise", PROMISES, ids=lambda row: row[0])
def test_a_promise_names_its_test(promise: list[str]) -> None:
    assert re.fullmatch(r"`[^`]+::[^`]+`(, `[^`]+::[^`]+`)*", promise[1])


@pytest.mark.parametrize("name", NAMED)
def test_the_test_is_there(name: str) -> None:
    place, _, test = name.partition("::")
    assert test.rpartition("::")[2].startswith("test_")
    assert test in found_in(place)


@pytest.mark.parametrize("name", [name for name in NAMED if "/conformance/" in name])
def test_the_test_of_a_suite_runs_against_every_adapter(name: str) -> None:
    suite = name.split("::")[1]
    places = {"BackendConformance": BACKENDS, "ProgressConformance": PROGRESS}
    for place in places.get(suite, ADAPTERS):
        assert suite in suites_in(place), place
