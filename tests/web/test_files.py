"""Tests of the files that pages load."""

from __future__ import annotations

import gzip

import pytest

from umbel.web.files import KINDS, read


@pytest.mark.parametrize(
    ("names", "most"), [(["umbel-progress.js"], 4096), (["umbel-progress.js", "umbel-tray.js"], 6144)]
)
def test_the_element_is_small(names: list[str], most: int) -> None:
    sizes = {name: len(gzip.compress(read(name)[0], 9)) for name in names}
    assert sum(sizes.values()) < most, sizes


def test_nothing_in_them_needs_a_looser_policy() -> None:
    for name in KINDS:
        text = read(name)[0].decode()
        for loose in (
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "new Function",
            "http://",
        ):
            assert loose not in text, (name, loose)
