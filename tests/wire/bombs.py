"""A program that decodes bombs under a limit of memory: a JSON object a line, of what came of each."""

from __future__ import annotations

import bz2
import json
import lzma
import resource
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import brotli
import zstandard

from umbel.errors import WireError
from umbel.model import Envelope
from umbel.serial import accepted
from umbel.wire.task_v2 import decode

ROOM = 1024 * 2**20
"""Bytes of address space that the program gets beyond what it has at its start."""

MAX_SIZE = 4 * 2**20
SPACES = b" " * 2**20
TIMES = 300


def expanded(write: Callable[[bytes], bytes], end: Callable[[], bytes]) -> bytes:
    """Three hundred megabytes of spaces, compressed piece by piece."""
    return b"".join([*(write(SPACES) for _ in range(TIMES)), end()])


def gzip() -> bytes:
    stream = zlib.compressobj(9)
    return expanded(stream.compress, stream.flush)


def bzip2() -> bytes:
    stream = bz2.BZ2Compressor(9)
    return expanded(stream.compress, stream.flush)


def xz(filters: list[dict[str, Any]]) -> bytes:
    stream = lzma.LZMACompressor(filters=filters)
    return expanded(stream.compress, stream.flush)


def brotli_stream() -> bytes:
    stream = brotli.Compressor(quality=4)
    return expanded(stream.process, stream.finish)


def zstd(window: int) -> bytes:
    settings = zstandard.ZstdCompressionParameters(window_log=window)
    stream = zstandard.ZstdCompressor(compression_params=settings).compressobj()
    return expanded(stream.compress, stream.flush)


def greedy_xz() -> bytes:
    """A small stream whose head asks for a dictionary of 1.5 GiB."""
    small = lzma.compress(b"x" * 100, format=lzma.FORMAT_ALONE)
    return small[:1] + (2**30 + 2**29).to_bytes(4, "little") + small[5:]


def bombs() -> Iterator[tuple[str, str | None, str, bytes]]:
    """(name, compression, content type, body) of each."""
    json_type, yaml_type, msgpack_type = "application/json", "application/x-yaml", "application/x-msgpack"
    yield "gzip", "gzip", json_type, gzip()
    yield "gzip in gzip", "gzip", json_type, zlib.compress(gzip()) * 3
    yield "bzip2", "bzip2", json_type, bzip2()
    yield "xz", "lzma", json_type, xz([{"id": lzma.FILTER_LZMA2, "preset": 1}])
    yield "xz, greedy", "lzma", json_type, greedy_xz()
    yield "brotli", "brotli", json_type, brotli_stream()
    yield "brotli, large window", "brotli", json_type, b"\x11\x1e" + b"\xff" * 30
    for window in (21, 27, 31):
        yield f"zstd, window {window}", "zstd", json_type, zstd(window)
    yield "JSON, deep", None, json_type, b"[" * (MAX_SIZE - 1000)
    yield "JSON, typed", None, json_type, b'[[{"__type__":"decimal","__value__":"1e9999999999999999999"}],{},0]'
    yield "msgpack, nested claims", None, msgpack_type, b"\xdd\x00\x3f\x00\x00" * (MAX_SIZE // 5 - 1000)
    laughs = "".join(f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12))
    yield "YAML, aliases", None, yaml_type, b"a0: &a0 [ha]\n" + laughs.encode()
    merges = "".join(f"a{n}: &a{n} {{<<: [{','.join([f'*a{n - 1}'] * 9)}]}}\n" for n in range(1, 12))
    yield "YAML, merge keys", None, yaml_type, b"a0: &a0 {x: 1}\n" + merges.encode()
    yield "YAML, deep", None, yaml_type, b"[" * 500_000


def resident(word: str) -> int:
    """Memory of this process, in MiB: VmRSS what it has, VmHWM the most that it had."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(word)) // 1024


def forget_the_most() -> None:
    """Let VmHWM begin anew."""
    Path("/proc/self/clear_refs").write_text("5")


def address_space() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    return pages * resource.getpagesize()


def main() -> None:
    accept = accepted(["json", "msgpack", "yaml"])
    made = list(bombs())
    resource.setrlimit(resource.RLIMIT_AS, (address_space() + ROOM, resource.RLIM_INFINITY))
    for name, compression, content_type, body in made:
        headers = {"task": "t", "id": "i", "compression": compression}
        head = json.dumps({"headers": headers, "content-type": content_type}).encode()
        forget_the_most()
        before, error = resident("VmRSS"), None
        try:
            decode(Envelope("plain", "i", head, body), accept=accept, max_size=MAX_SIZE)
        except WireError as caught:
            error = str(caught)
        sys.stdout.write(json.dumps({"bomb": name, "error": error, "grown": resident("VmHWM") - before}) + "\n")


if __name__ == "__main__":
    main()
