"""Compresses a message's body and expands it again, never beyond a limit."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

from umbel.errors import DecodeError, MissingExtra, UnknownOption

_LZMA_MEMORY = 100 * 2**20
"""Bytes that expanding an lzma stream may use: those that its own largest preset needs, with room."""


_WINDOW = 8 * 2**20
"""Bytes that expanding a zstd stream may look back at least; more only where so many may come out."""


def compress(data: bytes, name: str) -> tuple[bytes, str]:
    """Compress; return the bytes and the content type of the way it was done.

    ``name`` is a name (gzip, bzip2, lzma, brotli, zstd, and others that mean the same) or a content type. Raises
    ``UnknownOption`` for another, ``MissingExtra`` for one whose package is not installed.
    """
    way = _WAYS.get(name)
    if way is None:
        raise UnknownOption("compression", name, _WAYS)
    return way.compress(data), way.content_type


def decompress(data: bytes, name: str, max_size: int) -> bytes:
    """Expand what ``compress`` made; ``name`` is a name or a content type.

    Raises ``DecodeError`` for an unknown name, for bytes that are not of that kind or not whole, and for more than
    ``max_size`` bytes, of which no more than that are ever expanded. Raises ``MissingExtra``.
    """
    way = _known(name)
    try:
        expanded, whole = way.expand(data, max_size + 1)
    except MissingExtra:
        raise
    except Exception as error:  # each library has errors of its own
        raise DecodeError("body", f"is not compressed with {way.name}: {type(error).__name__}: {error}") from error
    if len(expanded) > max_size:
        raise DecodeError("body", f"has more than {max_size} bytes when expanded")
    if not whole:
        raise DecodeError("body", f"is compressed with {way.name} and not whole")
    return expanded


def name_of(name: str) -> str:
    """The first name of a way of compressing that was named in any way; raises ``DecodeError`` for an unknown one."""
    return _known(name).name


def _known(name: str) -> _Way:
    way = _WAYS.get(name)
    if way is None:
        known = ", ".join(sorted({way.name for way in _WAYS.values()}))
        raise DecodeError("compression", f"{name[:80]!r} is unknown (known: {known})")
    return way


class _Way(NamedTuple):
    """``expand`` returns at most the number of bytes that it is told, and whether the stream was whole."""

    name: str
    content_type: str
    others: tuple[str, ...]
    compress: Callable[[bytes], bytes]
    expand: Callable[[bytes, int], tuple[bytes, bool]]


def _expand_zlib(data: bytes, most: int) -> tuple[bytes, bool]:
    # The name promises gzip, what is sent is a bare zlib stream; 32 reads both, for senders who believed the name.
    stream = zlib.decompressobj(zlib.MAX_WBITS | 32)
    return stream.decompress(data, most), stream.eof


def _compress_bz2(data: bytes) -> bytes:
    import bz2

    return bz2.compress(data)


def _expand_bz2(data: bytes, most: int) -> tuple[bytes, bool]:
    import bz2

    stream = bz2.BZ2Decompressor()
    return stream.decompress(data, most), stream.eof


def _compress_lzma(data: bytes) -> bytes:
    import lzma

    return lzma.compress(data)


def _expand_lzma(data: bytes, most: int) -> tuple[bytes, bool]:
    import lzma

    stream = lzma.LZMADecompressor(memlimit=_LZMA_MEMORY)
    return stream.decompress(data, most), stream.eof


def _brotli() -> Any:
    try:
        import brotli  # type: ignore[import-untyped, unused-ignore]
    except ImportError:
        raise MissingExtra("the compression brotli", "compression") from None
    return brotli


def _expand_brotli(data: bytes, most: int) -> tuple[bytes, bool]:
    stream = _brotli().Decompressor()
    return stream.process(data, output_buffer_limit=most), stream.is_finished()


def _zstandard() -> Any:
    try:
        import zstandard
    except ImportError:
        raise MissingExtra("the compression zstd", "compression") from None
    return zstandard


def _expand_zstd(data: bytes, most: int) -> tuple[bytes, bool]:
    zstandard = _zstandard()
    promised = zstandard.get_frame_parameters(data).content_size
    pieces, size = [], 0
    window = max(_WINDOW, 1 << (most - 1).bit_length())
    for piece in zstandard.ZstdDecompressor(max_window_size=window).read_to_iter(data):
        pieces.append(piece)
        size += len(piece)
        if size >= most:
            break
    return b"".join(pieces), promised in (size, zstandard.CONTENTSIZE_UNKNOWN)


_ALL = (
    _Way("gzip", "application/x-gzip", ("zlib",), zlib.compress, _expand_zlib),
    _Way("bzip2", "application/x-bz2", ("bzip",), _compress_bz2, _expand_bz2),
    _Way("lzma", "application/x-lzma", ("xz",), _compress_lzma, _expand_lzma),
    _Way("brotli", "application/x-brotli", (), lambda data: bytes(_brotli().compress(data)), _expand_brotli),
    _Way("zstd", "application/zstd", ("zstandard",), lambda data: bytes(_zstandard().compress(data)), _expand_zstd),
)
_WAYS = {name: way for way in _ALL for name in (way.name, way.content_type, *way.others)}
