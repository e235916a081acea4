"""The URL of a store."""

from __future__ import annotations

from pathlib import Path

import pytest

from umbel.errors import ConfigurationError, UnknownOption
from umbel.stores.sqlite.location import Location, locate


def test_three_slashes_are_relative_to_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    location = locate("sqlite:///data/umbel.db")
    monkeypatch.chdir("/")
    assert location == Location(str(tmp_path / "data" / "umbel.db"))


def test_four_slashes_are_absolute() -> None:
    assert locate("sqlite:////srv/shop/umbel.db").path == "/srv/shop/umbel.db"


def test_percent_signs_are_decoded_and_the_query_is_not_the_path() -> None:
    assert locate("sqlite:////srv/a%20b%3F.db?any_filesystem=1") == Location("/srv/a b?.db", True)


def test_symbolic_links_lead_to_one_store(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert locate(f"sqlite:///{tmp_path}/link/umbel.db") == locate(f"sqlite:///{tmp_path}/real/umbel.db")


@pytest.mark.parametrize(("value", "meant"), [("1", True), ("true", True), ("YES", True), ("0", False), ("no", False)])
def test_the_check_of_the_file_system_can_be_lifted(value: str, meant: bool) -> None:
    assert locate(f"sqlite:////a.db?any_filesystem={value}").any_filesystem is meant


def test_an_unknown_option_is_an_error_with_the_nearest_name() -> None:
    with pytest.raises(UnknownOption, match="did you mean 'any_filesystem'"):
        locate("sqlite:////a.db?any_file_system=1")


def test_a_value_that_is_neither_yes_nor_no_is_an_error() -> None:
    with pytest.raises(ConfigurationError, match="neither 1 nor 0"):
        locate("sqlite:////a.db?any_filesystem=perhaps")


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///", "sqlite://host/a.db"])
def test_a_url_without_a_file_is_an_error(url: str) -> None:
    with pytest.raises(ConfigurationError, match="names no file"):
        locate(url)


def test_a_database_in_memory_is_an_error_that_names_the_memory_store() -> None:
    with pytest.raises(ConfigurationError, match="use memory://"):
        locate("sqlite:///:memory:")
