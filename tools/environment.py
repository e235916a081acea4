"""Makes the project's virtual environments from the pinned files in requirements/.

    python3 tools/environment.py dev celery56         make these, print the path of each one's Python
    python3 tools/environment.py dev -- pytest -x     make it, then become that program inside it
    python3 tools/environment.py --lock [--upgrade]   write requirements/*.txt anew from requirements/*.in

An environment stands in .venvs/NAME-KEY, where KEY is a hash of its pins, its Python and this folder: new pins make a
new environment beside the old one. It counts as made when its stamp is there, and the stamp is written last; two
makers wait for each other on a lock file. Needs the standard library only.
"""

from __future__ import annotations

import signal

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a ctrl-C while the rest is imported is quiet

import contextlib
import fcntl
import hashlib
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WITH_UMBEL = frozenset({"demo", "dev", "docs", "bench"})
"""Environments that get umbel itself, editable."""

SYSTEM_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
"""uv brings its own list of authorities; a machine's list knows those of the network that it stands in, too."""

NO_VENV = """\
This Python ({python}) cannot make virtual environments: its module {module} is missing.
On Debian and Ubuntu this line brings it:

    apt-get install -y python3-venv
"""


class Failure(Exception):
    """An environment could not be made; the message says why and what to do."""


class Environments:
    """The environments of one checkout, below its ``.venvs`` folder."""

    def __init__(self, root: Path = ROOT) -> None:
        self.root = root
        self.folder = root / ".venvs"

    def names(self) -> list[str]:
        """Every environment that has pins, sorted."""
        return sorted(path.stem for path in (self.root / "requirements").glob("*.txt") if path.stem != "uv")

    def pins(self, name: str) -> Path:
        """The file of pins; raises ``Failure`` with the known names when there is none."""
        path = self.root / "requirements" / f"{name}.txt"
        if not path.is_file():
            raise Failure(
                f"No environment is called {name!r}: {path} does not exist. Known: {', '.join(self.names())}."
            )
        return path

    def path(self, name: str) -> Path:
        """Where the environment stands or would stand."""
        parts = (self.pins(name).read_bytes(), platform.python_version(), sys.base_prefix, str(self.root))
        digest = hashlib.sha256()
        for part in parts:
            digest.update(part if isinstance(part, bytes) else part.encode())
            digest.update(b"\0")
        return self.folder / f"{name}-{digest.hexdigest()[:12]}"

    def python(self, name: str) -> Path:
        """The Python of the environment, made first where it is missing. Quick when it is there."""
        path = self.path(name)
        if not self._made(name, path):
            with self._lock(path):
                if not self._made(name, path):
                    self._make(name, path)
        return path / "bin" / "python"

    def compile_pins(self, upgrade: bool) -> None:
        """Write every ``requirements/*.txt`` from its ``.in``; without ``upgrade`` pins that still fit stay."""
        sources = sorted((self.root / "requirements").glob("*.in"))
        uv = self.python("uv").with_name("uv")
        for source in sources:
            relative = source.relative_to(self.root)
            say(f"{relative}: pinning")
            words = ["pip", "compile", "--quiet", "--universal", "--python-version", "3.11", "--no-header"]
            words += ["--no-emit-index-url", "--generate-hashes", *(["--upgrade"] if upgrade else [])]
            run([uv, *words, "--output-file", relative.with_suffix(".txt"), relative], self.root)

    def _made(self, name: str, path: Path) -> bool:
        with contextlib.suppress(FileNotFoundError):
            return (path / "stamp").read_text() == self._stamp(name)
        return False

    def _stamp(self, name: str) -> str:
        """What has to be in the stamp: entry points of an editable install are those of the day it was made."""
        if name not in WITH_UMBEL:
            return "made\n"
        return hashlib.sha256((self.root / "pyproject.toml").read_bytes()).hexdigest() + "\n"

    def _make(self, name: str, path: Path) -> None:
        began = time.monotonic()
        if not (path / "stamp").is_file():
            say(f"{name}: making {path.relative_to(self.root)}")
            shutil.rmtree(path, ignore_errors=True)
            self._fill(name, path)
        if name in WITH_UMBEL:
            say(f"{name}: installing umbel, editable")
            words = ["--reinstall", "--no-deps", "--no-build-isolation", "--editable", "."]
            run([self._uv(), "pip", "install", "--quiet", "--python", path / "bin" / "python", *words], self.root)
        unready = path / "stamp.new"
        unready.write_text(self._stamp(name))
        unready.replace(path / "stamp")
        say(f"{name}: ready after {time.monotonic() - began:.1f} s")

    def _fill(self, name: str, path: Path) -> None:
        for module in ("venv", "ensurepip"):
            found = importlib.util.find_spec(module)
            if found is None or found.origin is None:  # a removed package may leave its folder, which has no origin
                raise Failure(NO_VENV.format(python=sys.executable, module=module))
        pins = self.pins(name)
        if name == "uv":
            run([sys.executable, "-m", "venv", path], self.root)
            run([path / "bin" / "pip", "install", "--quiet", "--require-hashes", "-r", pins], self.root)
        else:
            uv = self._uv()
            run([sys.executable, "-m", "venv", "--without-pip", path], self.root)
            say(f"{name}: installing {pins.relative_to(self.root)}")
            run([uv, "pip", "sync", "--quiet", "--python", path / "bin" / "python", pins], self.root)

    def _uv(self) -> Path:
        return self.python("uv").with_name("uv")

    @contextlib.contextmanager
    def _lock(self, path: Path) -> Iterator[None]:
        self.folder.mkdir(exist_ok=True)
        with path.with_suffix(".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                say(f"{path.name}: another process is making it, waiting")
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def run(command: Sequence[str | Path], folder: Path) -> None:
    """Run a step in silence; raises ``Failure`` with everything it printed when it fails."""
    certificates = {"UV_SYSTEM_CERTS": "1"} if SYSTEM_CERTIFICATES.is_file() else {}
    done = subprocess.run(
        command,
        cwd=folder,
        env={**certificates, **os.environ},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        line = " ".join(str(word) for word in command)
        raise Failure(f"{done.stdout}\nThis step failed with status {done.returncode}:\n    {line}")


def say(line: str) -> None:
    """One line of progress, on stderr: stdout carries the answers."""
    print(line, file=sys.stderr, flush=True)


def become(python: Path, command: Sequence[str]) -> None:
    """Replace this process by a program of the environment, found there first; raises ``Failure`` if it is nowhere."""
    folder = python.parent
    os.environ["PATH"] = f"{folder}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    os.environ["VIRTUAL_ENV"] = str(folder.parent)
    try:
        os.execvp(command[0], list(command))
    except FileNotFoundError:
        raise Failure(f"{command[0]!r} is neither in {folder} nor on PATH.") from None


def main(words: Sequence[str]) -> int:
    """Do what the module's docstring says; 1 is a failure, told on stderr, 2 a wrong command line, 130 ctrl-C."""
    if sys.version_info < (3, 11):  # noqa: UP036 - the one place where an older Python arrives
        say(f"umbel needs Python 3.11 or newer and this is {platform.python_version()}: make PYTHON=python3.11 …")
        return 1
    signal.signal(signal.SIGINT, signal.default_int_handler)
    environments = Environments()
    try:
        if words and words[0] == "--lock" and set(words[1:]) <= {"--upgrade"}:
            environments.compile_pins(upgrade="--upgrade" in words)
        elif len(words) > 2 and words[1] == "--":
            become(environments.python(words[0]), words[2:])
        elif words and not any(word.startswith("-") for word in words):
            for name in words:
                print(environments.python(name))
        else:
            say(__doc__)
            return 2
    except Failure as failure:
        say(str(failure))
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
