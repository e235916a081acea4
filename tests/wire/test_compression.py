"""Compression of bodies: what is written, and that nothing expands beyond its limit."""

from __future__ import annotations

import gzip
import lzma
import sys
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from umbel.errors import DecodeError, MissingExtra, UnknownOption, WireError
from umbel.wire.compression import compress, decompress, name_of

NAMES = ["gzip", "bzip2", "lzma", "brotli", "zstd"]
TYPES = {
    "gzip": "application/x-gzip",
    "zlib": "application/x-gzip",
    "bzip2": "application/x-bz2",
    "bzip": "application/x-bz2",
    "lzma": "application/x-lzma",
    "xz": "application/x-lzma",
    "brotli": "application/x-brotli",
    "zstd": "application/zstd",
    "zstandard": "application/zstd",
}


@pytest.mark.parametrize(("name", "content_type"), TYPES.items())
def test_each_way_has_its_names_and_its_content_type(name: str, content_type: str) -> None:
    data, written = compress(b"hello" * 100, name)
    assert written == content_type
    assert compress(b"hello" * 100, content_type) == (data, content_type)
    for called in (name, content_type):
        assert decompress(data, called, 500) == b"hello" * 100
        assert name_of(called) in NAMES


def test_what_is_called_gzip_is_a_bare_stream_and_a_file_is_read_too() -> None:
    assert compress(b"hello", "gzip")[0] == zlib.compress(b"hello")
    assert decompress(gzip.compress(b"hello"), "gzip", 5) == b"hello"


@pytest.mark.parametrize("name", NAMES)
def test_exactly_the_limit_is_expanded_and_one_more_is_not(name: str) -> None:
    data, _ = compress(b"x" * 1000, name)
    assert decompress(data, name, 1000) == b"x" * 1000
    with pytest.raises(DecodeError, match="body: has more than 999 bytes when expanded"):
        decompress(data, name, 999)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_expands_far_beyond_the_limit(name: str) -> None:
    bomb, _ = compress(b"\0" * 30_000_000, name)
    assert len(bomb) < 50_000
    tracemalloc.start()
    try:
        with pytest.raises(DecodeError, match="more than 1000 bytes"):
            decompress(bomb, name, 1000)
        # lzma's own dictionary takes eight.
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", NAMES)
def test_a_stream_that_is_cut_off_is_refused(name: str) -> None:
    data, _ = compress(bytes(range(256)) * 4, name)
    with pytest.raises(DecodeError, match=f"body: is (not )?compressed with {name}"):
        decompress(data[:-6], name, 10_000)
    with pytest.raises(DecodeError):
        decompress(b"", name, 10_000)


@pytest.mark.parametrize("name", NAMES)
def test_other_bytes_are_refused(name: str) -> None:
    with pytest.raises(DecodeError, match=f"body: is not compressed with {name}: "):
        decompress(b"nothing of the kind", name, 10_000)


def test_an_lzma_stream_that_wants_much_memory_is_refused() -> None:
    greedy = lzma.compress(b"x", filters=[{"id": lzma.FILTER_LZMA2, "dict_size": 2**27, "mf": lzma.MF_HC3}])
    with pytest.raises(DecodeError, match="Memory usage limit exceeded"):
        decompress(greedy, "lzma", 10_000)


def test_an_unknown_way_is_refused() -> None:
    with pytest.raises(UnknownOption, match="compression: unknown name 'gzap'; did you mean 'gzip'"):
        compress(b"", "gzap")
    for use in (lambda: decompress(b"", "rar", 1), lambda: name_of("rar")):
        with pytest.raises(
            DecodeError, match=r"compression: 'rar' is unknown \(known: brotli, bzip2, gzip, lzma, zstd"
        ):
            use()


@pytest.mark.parametrize(("name", "package"), [("brotli", "brotli"), ("zstd", "zstandard")])
def test_a_missing_package_is_named_with_the_line_that_installs_it(
    name: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    for use in (lambda: compress(b"", name), lambda: decompress(b"", name, 1)):
        with pytest.raises(MissingExtra, match=r"pip install 'umbel\[compression\]'"):
            use()


@given(st.binary(), st.sampled_from(NAMES))
def test_any_bytes_come_back_as_they_were(data: bytes, name: str) -> None:
    assert decompress(compress(data, name)[0], name, len(data)) == data


@given(st.binary(), st.sampled_from(NAMES))
def test_any_bytes_expand_or_give_an_error_of_the_wire(data: bytes, name: str) -> None:
    try:
        assert len(decompress(data, name, 1000)) <= 1000
    except WireError:
        return
