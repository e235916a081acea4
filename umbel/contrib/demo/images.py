"""Makes picture files, and resizes them: PNG with the standard library alone."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def make_pictures(folder: Path, count: int, side: int = 96) -> list[str]:
    """So many different squares of that many pixels; gives their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number in range(count):
        rows = [
            bytes(
                channel
                for x in range(side)
                for channel in ((x * 255 // side + number) % 256, (y * 255 // side) % 256, (number * 7) % 256)
            )
            for y in range(side)
        ]
        path = folder / f"{number:03}.png"
        path.write_bytes(_png(side, side, rows))
        paths.append(str(path))
    return paths


def halve(path: str, into: Path) -> tuple[int, int]:
    """Write the picture at half its width and height into the folder; gives the new size."""
    width, height, rows = _pixels(Path(path).read_bytes())
    smaller = [b"".join(row[3 * x : 3 * x + 3] for x in range(0, width - 1, 2)) for row in rows[: height - 1 : 2]]
    into.mkdir(parents=True, exist_ok=True)
    (into / Path(path).name).write_bytes(_png(width // 2, len(smaller), smaller))
    return width // 2, len(smaller)


def _png(width: int, height: int, rows: list[bytes]) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row for row in rows), 6)
    return SIGNATURE + _chunk(b"IHDR", head) + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _pixels(content: bytes) -> tuple[int, int, list[bytes]]:
    """Width, height and rows of a picture that ``_png`` wrote; raises ``ValueError`` for any other."""
    if not content.startswith(SIGNATURE):
        raise ValueError("this is no PNG file")
    at, width, height, data = len(SIGNATURE), 0, 0, b""
    while at < len(content):
        (length,) = struct.unpack_from(">I", content, at)
        kind, body = content[at + 4 : at + 8], content[at + 8 : at + 8 + length]
        if kind == b"IHDR":
            width, height = struct.unpack_from(">II", body)
        elif kind == b"IDAT":
            data += body
        at += 12 + length
    flat, line = zlib.decompress(data), 3 * width + 1
    return width, height, [flat[line * y + 1 : line * (y + 1)] for y in range(height)]
