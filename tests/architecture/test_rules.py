"""Holds every rule against the checkout, and shows for each that it can fail."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.architecture import clocks, form, imports


class Case(NamedTuple):
    """A rule, a small tree that breaks it, and what a complaint has to name: by default each file of the tree."""

    rule: Callable[[Path], list[str]]
    files: dict[str, str]
    named: tuple[str, ...] = ()


CASES = [
    Case(form.sizes, {"umbel/long.py": "x = 1\n" * 401, "tests/tall.py": "def tall():\n" + "    x = 1\n" * 60}),
    Case(
        form.first_sentences,
        {
            "umbel/bare.py": "x = 1\n",
            "umbel/two.py": '"""It does this. It does that."""\n',
            "umbel/unended.py": '"""It does this"""\n',
        },
    ),
    Case(form.names, {"umbel/utils.py": "", "umbel/base/wire.py": "", "tests/test_helpers.py": ""}),
    Case(
        form.spelling,
        {
            "umbel/name.py": "celery_app = 1\n",
            "umbel/text.py": "x = f'the {1} Celery way'\n",
            "umbel/octets.py": "x = b'celery'\n",
            "umbel/attribute.py": "import os\nos.celery = 1\n",
            "umbel/taken.py": "from wire import CELERY_QUEUE as queue\n",
            "umbel/celeryd.py": "",
        },
    ),
    Case(
        form.strays,
        {
            "docs/one.md": "see /" + "root/notes\n",
            "docs/two.md": "see ../" + "shared/notes\n",
            "docs/three.txt": "from pypi" + ".org\n",
        },
    ),
    Case(
        clocks.wall_clocks,
        {
            "umbel/one.py": "import time\nx = time.time\n",
            "umbel/two.py": "from time import time_ns\n",
            "umbel/three.py": "import datetime\nx = datetime.datetime.now(None)\n",
        },
    ),
    Case(
        imports.circles,
        {
            "umbel/one.py": "from umbel import two\n",
            "umbel/two.py": "def late():\n    import umbel.three\n",
            "umbel/three.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from umbel.one import One\n",
        },
        named=("umbel.one, umbel.three, umbel.two",),
    ),
    Case(
        imports.front_door,
        {"umbel/__init__.py": "", "umbel/guest.py": "from umbel import Umbel\n"},
        named=("umbel.guest",),
    ),
    Case(
        imports.hidden_imports,
        {
            "umbel/sly.py": "import importlib\nimportlib.import_module('umbel.worker')\n",
            "umbel/slyer.py": "x = 'worker'\n__import__(f'umbel.{x}')\n",
        },
    ),
    Case(
        imports.adapters_reached_directly,
        {
            "umbel/app.py": "def broker():\n    from umbel.brokers.memory import MemoryBroker\n",
            "umbel/brokers/sqlite/claims.py": "from umbel.brokers import memory\n",
        },
    ),
    Case(
        imports.third_party_homes,
        {"umbel/one.py": "import msgpack\n", "umbel/two.py": "from msgpack import packb\n"},
        named=("msgpack is imported in one.py, two.py",),
    ),
    Case(
        imports.eager_imports,
        {"umbel/__init__.py": "import click\nimport logging.config\n"},
        named=("loads click", "loads logging.config"),
    ),
    Case(
        imports.floors,
        {
            "umbel/__init__.py": "",
            "umbel/model.py": "def late():\n    from umbel.app import Umbel\n",
            "umbel/app.py": "",
        },
        named=("umbel.model is not allowed to import umbel.app",),
    ),
    Case(
        imports.floors,
        {"umbel/__init__.py": "", "umbel/homeless.py": ""},
        named=("not listed as layers", "umbel.homeless"),
    ),
]

WELL_MADE = {
    "umbel/__init__.py": '"""A package."""\n',
    "umbel/model.py": '"""The nouns.\n\nThe rest may be long. It may say celery.\n"""\n\nx = 1\n"""Not celery."""\n',
    "umbel/wire/__init__.py": "",
    "umbel/wire/names.py": '"""Names on the wire."""\n\nfrom umbel.model import x\n\nQUEUE = "celery" * x\n',
    "umbel/brokers/__init__.py": "",
    "umbel/brokers/memory/__init__.py": '"""A broker."""\n\nfrom umbel.brokers.memory.claims import y\n',
    "umbel/brokers/memory/claims.py": '"""Its claims."""\n\nfrom umbel.wire.names import QUEUE as y\n',
}


def grow(root: Path, folder: Path, files: dict[str, str]) -> Path:
    """Write the files and put them under git, beside this project's own contracts."""
    shutil.copy(root / "pyproject.toml", folder)
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    subprocess.run(["git", "add", "-A"], cwd=folder, check=True)
    return folder


def called(case: Case) -> str:
    return case.rule.__name__


@pytest.mark.parametrize("case", CASES[:-1], ids=called)
def test_the_project_keeps_the_rule(case: Case, root: Path) -> None:
    complaints = case.rule(root)
    assert not complaints, "\n" + "\n".join(complaints)


@pytest.mark.parametrize("case", CASES, ids=called)
def test_a_tree_that_breaks_the_rule_is_complained_of(case: Case, root: Path, tmp_path: Path) -> None:
    complaints = "\n".join(case.rule(grow(root, tmp_path, case.files)))
    assert [name for name in case.named or case.files if name not in complaints] == [], complaints


@pytest.mark.parametrize("case", CASES[:-1], ids=called)
def test_a_tree_that_keeps_the_rule_is_not_complained_of(case: Case, root: Path, tmp_path: Path) -> None:
    assert case.rule(grow(root, tmp_path, WELL_MADE)) == []
