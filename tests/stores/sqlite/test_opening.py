"""Making the file and its folder, and its layout."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.stores.sqlite.conftest import messages, query
from umbel.backends.sqlite import SqliteBackend
from umbel.brokers.sqlite import SqliteBroker
from umbel.errors import ConfigurationError
from umbel.stores.sqlite import schema
from umbel.stores.sqlite.statements import script, statements


def test_making_the_adapters_touches_no_file_and_imports_no_database(tmp_path: Path, root: Path) -> None:
    program = (
        "import sys; from umbel.brokers.sqlite import SqliteBroker; from umbel.backends.sqlite import SqliteBackend; "
        f"SqliteBroker('sqlite:///{tmp_path}/a/u.db', {{}}); SqliteBackend('sqlite:///{tmp_path}/a/u.db', {{}}); "
        "print(*{'sqlite3', 'asyncio'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
    assert list(tmp_path.iterdir()) == []


def test_a_missing_folder_is_made_and_hidden_from_git(tmp_path: Path) -> None:
    path = tmp_path / "project" / ".umbel" / "umbel.db"
    SqliteBroker(f"sqlite:///{path}", {}).publish_now(messages(1))
    assert path.exists()
    assert (path.parent / ".gitignore").read_text() == "*\n"


def test_a_folder_that_cannot_be_made_is_a_configuration_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="file"):
        SqliteBroker(f"sqlite:///{tmp_path}/file/umbel.db", {}).publish_now(messages(1))


def test_both_faces_of_a_file_share_one_store(url: str, broker: SqliteBroker) -> None:
    assert SqliteBackend(url, {}).keeper is broker.keeper
    assert SqliteBroker(f"{url}2", {}).keeper is not broker.keeper


@pytest.mark.parametrize(("setting", "level"), [("NORMAL", 1), ("FULL", 2)])
def test_synchronous_is_what_the_setting_says(url: str, setting: str, level: int) -> None:
    broker = SqliteBroker(url, {"sqlite_synchronous": setting})
    broker.publish_now(messages(1))
    assert query_outside_transaction(broker, "PRAGMA synchronous") == level
    assert query_outside_transaction(broker, "PRAGMA journal_mode") == "wal"
    assert query_outside_transaction(broker, "PRAGMA wal_autocheckpoint") == 0


def query_outside_transaction(broker: SqliteBroker, statement: str) -> object:
    return broker.keeper.read(lambda connection: connection.execute(statement).fetchone()[0])


def test_the_file_says_whose_it_is(broker: SqliteBroker) -> None:
    broker.publish_now(messages(1))
    assert query(broker.keeper, "PRAGMA user_version") == [(len(schema.MIGRATIONS),)]
    assert query(broker.keeper, "PRAGMA application_id") == [(schema.APPLICATION,)]


def test_an_older_layout_is_brought_up_to_date_and_keeps_its_rows(
    path: Path, broker: SqliteBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker.publish_now(messages(2))
    broker.keeper.rest()
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, "schema/next.sql"))
    texts = {"schema/next.sql": "-- A new table.\nCREATE TABLE later (x);\nINSERT INTO later VALUES ('a;b');"}
    monkeypatch.setattr(schema, "script", texts.__getitem__)
    assert broker.keeper.size("q") == 2
    assert query(broker.keeper, "SELECT x FROM later") == [("a;b",)]
    assert query(broker.keeper, "PRAGMA user_version") == [(len(schema.MIGRATIONS),)]


def test_a_migration_that_fails_leaves_the_file_as_it_was(
    path: Path, broker: SqliteBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "script", lambda name: "CREATE TABLE half (x);\nINSERT INTO nowhere VALUES (1);")
    with pytest.raises(Exception, match="nowhere"):
        broker.publish_now(messages(1))
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM sqlite_schema").fetchone() == (0,)
    monkeypatch.undo()
    broker.publish_now(messages(1))


def test_statements_are_found_by_name() -> None:
    named = statements("messages.sql")
    assert named["purge"].startswith("DELETE FROM messages")
    assert all(sqlite3.complete_statement(f"{text};") for text in named.values())


def test_a_missing_file_of_statements_is_named() -> None:
    with pytest.raises(FileNotFoundError, match=r"nothing\.sql"):
        script("nothing.sql")


def test_a_layout_that_somebody_else_makes_at_this_moment_is_taken_for_what_it_is(tmp_path: Path) -> None:
    path = str(tmp_path / "umbel.db")

    class Interrupted(sqlite3.Connection):
        """Lets another connection make the layout between two of its own reads."""

        interrupted = False

        def execute(self, statement: str, *arguments: Any) -> sqlite3.Cursor:
            if "sqlite_schema" in statement and not self.interrupted:
                self.interrupted = True
                with closing(sqlite3.connect(path, isolation_level=None)) as other:
                    schema.ensure_schema(other, path)
            return super().execute(statement, *arguments)

    with closing(sqlite3.connect(path, isolation_level=None)) as first:
        first.execute("PRAGMA journal_mode = WAL")
    with closing(sqlite3.connect(path, isolation_level=None, factory=Interrupted)) as connection:
        schema.ensure_schema(connection, path)
        assert connection.interrupted
        assert connection.execute("PRAGMA user_version").fetchone() == (len(schema.MIGRATIONS),)
