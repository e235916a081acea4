"""Tests what ``import umbel`` offers, and what it costs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import umbel
from umbel._version import __version__

NAMES = {
    "AsyncResult": "umbel.result",
    "Backoff": "umbel.retry",
    "Ignore": "umbel.errors",
    "Middleware": "umbel.middleware",
    "Queue": "umbel.model",
    "Reject": "umbel.errors",
    "Retry": "umbel.errors",
    "State": "umbel.model",
    "Task": "umbel.task",
    "TaskCancelled": "umbel.errors",
    "TimeoutError": "umbel.errors",
    "Umbel": "umbel.app",
    "UserError": "umbel.errors",
    "current_app": "umbel.proxies",
    "current_task": "umbel.proxies",
    "shared_task": "umbel.shared",
    "track": "umbel.progress",
}


@pytest.mark.parametrize("name", NAMES)
def test_a_public_name_is_the_one_of_the_module_that_defines_it(name: str) -> None:
    assert getattr(umbel, name) is getattr(sys.modules[NAMES[name]], name)


def test_the_public_names_are_listed() -> None:
    assert set(umbel.__all__) == {*NAMES, "__version__", "progress"}
    assert set(umbel.__all__) <= set(dir(umbel))
    assert umbel.__version__ == __version__


def test_progress_is_a_module_however_it_is_imported() -> None:
    program = "from umbel import progress; import umbel.progress; assert umbel.progress is progress; progress.track"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_star_brings_every_public_name() -> None:
    names: dict[str, object] = {}

    exec("from umbel import *", names)

    assert set(umbel.__all__) <= set(names)


def test_a_name_that_does_not_exist_is_an_attribute_error_and_an_import_error() -> None:
    with pytest.raises(AttributeError, match="module 'umbel' has no attribute 'Umbell'"):
        umbel.Umbell  # noqa: B018
    with pytest.raises(ImportError, match="cannot import name 'Umbell'"):
        exec("from umbel import Umbell")


def test_importing_it_loads_no_other_module_of_the_package(root: Path) -> None:
    program = "import sys, umbel; print(*sorted(name for name in sys.modules if name.startswith('umbel')))"
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True)

    assert done.stdout.split() == ["umbel"]
