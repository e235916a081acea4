"""A module that is missing is told apart from one that fails."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from umbel.imports import half_imported, import_or_none

WHY = "somebody wanted it"


@pytest.fixture(autouse=True)
def package(tmp_path: Path) -> Iterator[Path]:
    """A package ``stall`` on sys.path, forgotten afterwards."""
    folder = tmp_path / "stall"
    folder.mkdir()
    (folder / "__init__.py").touch()
    sys.path.insert(0, str(tmp_path))
    yield folder
    sys.path.remove(str(tmp_path))
    for name in [name for name in sys.modules if name.partition(".")[0] == "stall"]:
        del sys.modules[name]


def test_a_module_that_is_there_is_imported(package: Path) -> None:
    (package / "goods.py").write_text("price = 3\n")
    module = import_or_none("stall.goods", WHY)
    assert module is not None
    assert module.price == 3
    assert not half_imported(module)


@pytest.mark.parametrize("name", ["nowhere_at_all", "nowhere_at_all.inner", "stall.nowhere", "stall.goods.inner"])
def test_a_module_that_is_not_there_is_none(package: Path, name: str) -> None:
    (package / "goods.py").touch()
    assert import_or_none(name, WHY) is None


@pytest.mark.parametrize("text", ["import nowhere_at_all", "import stall.nowhere", "raise ModuleNotFoundError('odd')"])
def test_a_missing_module_that_the_module_imports_is_raised_with_a_note(package: Path, text: str) -> None:
    (package / "goods.py").write_text(text)
    with pytest.raises(ModuleNotFoundError) as caught:
        import_or_none("stall.goods", WHY)
    assert caught.value.__notes__ == [WHY]


@pytest.mark.parametrize(("text", "kind"), [("1 / 0", ZeroDivisionError), ("def", SyntaxError)])
def test_any_other_error_is_raised_as_it_is_with_a_note(package: Path, text: str, kind: type[Exception]) -> None:
    (package / "goods.py").write_text(text)
    with pytest.raises(kind) as caught:
        import_or_none("stall.goods", WHY)
    assert caught.value.__notes__ == [WHY]


def test_a_module_is_half_imported_while_its_own_code_runs(package: Path) -> None:
    (package / "goods.py").write_text(
        "import sys\nfrom umbel.imports import half_imported\nseen = half_imported(sys.modules[__name__])\n"
    )
    module = import_or_none("stall.goods", WHY)
    assert module is not None
    assert module.seen is True
