"""Settings that hold keys: what they take, and that nothing ever shows one."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from typing import Any

import pytest

from umbel import Umbel
from umbel.errors import ConfigurationError, MissingExtra
from umbel.settings.loader import Settings
from umbel.settings.options import OPTIONS

KEYS = ("security_signing_keys", "security_encryption_keys")
SECRET = "open sesame and open"


@pytest.mark.parametrize("name", KEYS)
@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ([], ()),
        ([SECRET], (SECRET.encode(),)),
        ((b"\xff" * 16, "ä" * 8), (b"\xff" * 16, "ä".encode() * 8)),
    ],
)
def test_keys_are_texts_or_bytes_and_kept_as_bytes(name: str, value: Any, kept: Any) -> None:
    assert OPTIONS[name].accept(value, "constructor") == kept


@pytest.mark.parametrize("name", KEYS)
def test_a_text_has_keys_separated_by_commas(name: str) -> None:
    text = f"{SECRET} , {'k' * 16}"
    assert OPTIONS[name].read(text, "environment") == (SECRET.encode(), b"k" * 16)


@pytest.mark.parametrize("name", KEYS)
@pytest.mark.parametrize(
    ("value", "hint"),
    [
        (SECRET, "one key is a list of one"),
        (SECRET.encode(), "one key is a list of one"),
        ([SECRET, "sesame"], "key 2 has 6 bytes"),
        ([SECRET, 5], "key 2 is a int"),
        ({SECRET: 1}, ""),
        (None, ""),
    ],
)
def test_what_is_no_list_of_long_secrets_is_refused_and_not_repeated(name: str, value: Any, hint: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{name}: expected a list of secrets of at least 16 bytes") as caught:
        OPTIONS[name].accept(value, "constructor")
    assert hint in str(caught.value)
    assert "sesame" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("text", ["", "  ", ",", f"{SECRET},", f",{SECRET}"])
def test_a_variable_that_holds_no_key_is_an_error_and_not_the_absence_of_keys(text: str, tmp_path: Path) -> None:
    settings = Settings(environ={"UMBEL_SECURITY_SIGNING_KEYS": text}, cwd=tmp_path)
    with pytest.raises(ConfigurationError, match="security_signing_keys: ") as caught:
        _ = settings.security_signing_keys
    assert "sesame" not in str(caught.value)


@pytest.mark.parametrize("name", KEYS)
def test_no_table_of_settings_shows_a_key(name: str, tmp_path: Path) -> None:
    settings = Settings({name: [SECRET]}, environ={}, cwd=tmp_path)
    assert settings[name] == (SECRET.encode(),)
    shown = {row[0]: row[1] for row in settings.table()}
    assert shown[name] == "********"
    assert "sesame" not in repr(settings.table()) + repr(settings)
    assert {row[0]: row[1] for row in Settings(environ={}, cwd=tmp_path).table()}[name] == "[]"


def test_the_package_that_encrypts_is_asked_for_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography", None)
    with pytest.raises(MissingExtra, match=r"security_encryption_keys .*pip install 'umbel\[crypto\]'"):
        Umbel("shop", set_as_current=False, security_encryption_keys=[SECRET])
    Umbel("shop", set_as_current=False, security_encryption_keys=[], security_signing_keys=[SECRET])


def test_what_protects_shows_no_key_and_is_not_there_without_keys() -> None:
    assert Umbel("shop", set_as_current=False, broker="memory://keys").protection is None
    for name in KEYS:
        app = Umbel("shop", set_as_current=False, broker="memory://keys")
        app.conf[name] = [SECRET]
        assert app.protection is not None
        assert "sesame" not in repr(app.protection) + repr(vars(app.protection))
