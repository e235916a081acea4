"""Installs packages with an apt-get of its own that keeps a diary."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

APT = """#!/bin/sh
echo "$DEBIAN_FRONTEND apt-get $*" >> {diary}
case "$*" in *{fails}*) exit 100;; *install*{brings}*) ln -s /bin/true {folder}/moonlight;; esac
"""

PROGRAM = """
import os, sys
from tools.debian import Need, main
if {lowly} and os.geteuid() == 0:
    os.seteuid(65534)
sys.exit(main([Need("coreutils", program="true"), Need("python3", module="os"), Need("moon", program="moonlight")]))
"""


class Machine:
    """A folder of programs that is the whole PATH, with the diary of its apt-get."""

    def __init__(self, folder: Path, root: Path) -> None:
        self.folder, self.root = folder, root
        self.diary = folder / "diary"
        for name in ("env", "ln", "sh", "true"):
            (folder / name).symlink_to(f"/bin/{name}")

    def apt(self, brings: str = "moon", fails: str = "nothing-like-it") -> None:
        """Put an apt-get there that brings the program with one package and fails on another word."""
        script = self.folder / "apt-get"
        script.write_text(APT.format(diary=self.diary, folder=self.folder, brings=brings, fails=fails))
        script.chmod(0o755)

    def run(self, lowly: bool = False) -> subprocess.CompletedProcess[str]:
        """Ask for two things that are there and one that is not; ``lowly`` means as somebody who is not root."""
        environment = {"PATH": str(self.folder), "PYTHONPATH": str(self.root)}
        command = [sys.executable, "-c", PROGRAM.format(lowly=lowly)]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture
def machine(root: Path) -> Iterator[Machine]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)  # somebody who is not root looks for programs there too
        if os.geteuid() != 0:
            sudo = folder / "sudo"
            sudo.write_text('#!/bin/sh\nshift\nexec "$@"\n')
            sudo.chmod(0o755)
        yield Machine(folder, root)


def test_only_what_is_missing_is_installed(machine: Machine) -> None:
    machine.apt()
    done = machine.run()
    assert done.returncode == 0, done.stderr
    update, install = machine.diary.read_text().splitlines()
    assert update.endswith(" update")
    assert install.startswith("noninteractive apt-get -q -y ")
    assert install.endswith(" install --no-install-recommends moon")


def test_nothing_is_done_when_everything_is_there(machine: Machine) -> None:
    machine.apt()
    machine.run()
    machine.diary.unlink()
    done = machine.run()
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not machine.diary.exists()


def test_who_may_not_install_is_told_the_line(machine: Machine) -> None:
    machine.apt()
    (machine.folder / "sudo").unlink(missing_ok=True)
    done = machine.run(lowly=True)
    assert done.returncode == 1
    assert "    apt-get install -y --no-install-recommends moon\n" in done.stderr
    assert not machine.diary.exists()


def test_a_machine_without_apt_is_told_what_is_needed(machine: Machine) -> None:
    done = machine.run()
    assert done.returncode == 1
    assert "The tests need packages that are not installed" in done.stderr


def test_an_installation_that_fails_says_so(machine: Machine) -> None:
    machine.apt(fails="install")
    done = machine.run()
    assert done.returncode == 1
    assert "This failed; see above" in done.stderr


def test_a_package_that_does_not_bring_its_program_says_so(machine: Machine) -> None:
    machine.apt(brings="sun")
    done = machine.run()
    assert done.returncode == 1
    assert "Installed, and still not found" in done.stderr
    assert "moon" in done.stderr
