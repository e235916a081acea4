"""Tells whether the file system below a path keeps the promises that SQLite relies on."""

from __future__ import annotations

import os
import re
from typing import NamedTuple

from umbel.errors import StoreUnsuitable

MOUNTS = "/proc/self/mountinfo"

GOOD = frozenset(
    {
        *("ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "bcachefs", "jfs", "tmpfs", "ramfs", "overlay"),
        *("apfs", "hfs", "ntfs", "ntfs3", "fuseblk", "exfat", "vfat"),
    }
)
"""File systems of this machine's own kernel and disks: their locks and shared memory hold between processes."""

_OCTAL = re.compile(r"\\([0-7]{3})")


class Mount(NamedTuple):
    """A mounted file system."""

    point: str
    kind: str


def mount_of(path: str, mounts: str = MOUNTS) -> Mount | None:
    """The mount that ``path`` (absolute, without symbolic links) lies on; None where the system does not tell."""
    found: Mount | None = None
    try:
        with open(mounts, encoding="utf-8", errors="surrogateescape") as lines:
            for line in lines:
                left, _, right = line.partition(" - ")
                point = _OCTAL.sub(lambda code: chr(int(code[1], 8)), left.split(" ")[4])
                inside = path == point or path.startswith(point.rstrip("/") + "/")
                # Of two mounts at one point the later hides the earlier.
                if inside and (found is None or len(point) >= len(found.point)):
                    found = Mount(point, right.split(" ")[0])
    except OSError:
        return None
    return found


def check_filesystem(path: str, mounts: str = MOUNTS) -> None:
    """Raise ``StoreUnsuitable`` when ``path`` lies on a network share, or on anything not known to be good."""
    mount = mount_of(os.path.realpath(path), mounts)
    if mount is not None and mount.kind not in GOOD:
        raise StoreUnsuitable(
            f"{path} lies on {mount.point}, a file system of kind {mount.kind}: locks between processes are not safe "
            "there, and messages could be lost; choose a folder on a local disk, or add ?any_filesystem=1 to the URL "
            "if a single machine uses it and its locks are known to hold"
        )
