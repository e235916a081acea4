"""Installs the Debian packages that the test suite needs and does not find.

Run by ``make test`` only. What counts is the thing, not the package: a program on PATH or a module of this Python, so
that nothing is installed where it came another way. Installs as root or through ``sudo -n``; where neither works, says
the line to run and ends with status 1.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from typing import NamedTuple


class Need(NamedTuple):
    """A package, and the program, the file or the module of this Python that it brings."""

    package: str
    program: str | None = None
    module: str | None = None
    file: str | None = None

    def met(self) -> bool:
        """Whether what it brings is there."""
        if self.program is not None and shutil.which(self.program) is None:
            return False
        if self.file is not None and not os.path.exists(self.file):
            return False
        found = importlib.util.find_spec(self.module) if self.module else None
        return self.module is None or (found is not None and found.origin is not None)


NEEDS = (
    Need("python3-venv", module="ensurepip"),
    Need("chromium", program="chromium"),
    Need("rabbitmq-server", file="/usr/lib/rabbitmq/bin/rabbitmq-server"),
    Need("redis-server", program="redis-server"),
)


def missing(needs: Sequence[Need]) -> list[str]:
    """The packages whose thing is not there."""
    importlib.invalidate_caches()
    return [need.package for need in needs if not need.met()]


def prefix() -> list[str] | None:
    """What to write before a command to run it as root; None when there is no way."""
    if os.geteuid() == 0:
        return []
    sudo = shutil.which("sudo")
    if sudo and subprocess.run([sudo, "-n", "true"], capture_output=True, check=False).returncode == 0:
        return [sudo, "-n"]
    return None


def install(packages: Sequence[str], before: Sequence[str]) -> bool:
    """Install the packages with apt-get; False when it failed, which it has told then."""
    environment = "DEBIAN_FRONTEND=noninteractive"
    apt = [*before, "env", environment, "apt-get", "-q", "-y", "-o", "DPkg::Lock::Timeout=300"]
    steps = ([*apt, "update"], [*apt, "install", "--no-install-recommends", *packages])
    return all(subprocess.run(step, check=False).returncode == 0 for step in steps)


def main(needs: Sequence[Need] = NEEDS) -> int:
    """Bring what is missing; 0 when everything is there at the end."""
    packages = missing(needs)
    if not packages:
        return 0
    line = f"apt-get install -y --no-install-recommends {' '.join(packages)}"
    before = prefix()
    if before is None or shutil.which("apt-get") is None:
        print(f"The tests need packages that are not installed. As root:\n\n    {line}\n", file=sys.stderr)
        return 1
    print(f"installing {' '.join(packages)}", file=sys.stderr, flush=True)
    if not install(packages, before):
        print(f"This failed; see above:\n\n    {line}\n", file=sys.stderr)
        return 1
    left = missing(needs)
    if left:
        print(f"Installed, and still not found by {sys.executable}: {', '.join(left)}", file=sys.stderr)
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main())
