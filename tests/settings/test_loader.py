"""Settings are put together lazily, by one precedence, and can be read and written from anywhere."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from umbel.errors import ConfigurationError, UnknownOption
from umbel.settings.cpus import available_cpus
from umbel.settings.kinds import UNSET
from umbel.settings.loader import Settings
from umbel.settings.options import OPTIONS


def settings(tmp_path: Path, constructor: dict[str, Any] | None = None, **environ: str) -> Settings:
    (tmp_path / "pyproject.toml").touch()
    return Settings(constructor, environ=environ, cwd=tmp_path)


SOURCES = ("project", "object", "constructor", "written", "environment", "command line")
"""Weakest first."""

NUMBERS = ("task_max_starts", "worker_concurrency", "task_message_max_size")


@pytest.fixture(scope="module")
def projects(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("projects")


@given(
    given_values=st.dictionaries(
        st.tuples(st.sampled_from(SOURCES), st.sampled_from(NUMBERS)), st.integers(1, 1_000_000), max_size=12
    ),
    order=st.permutations(("object", "written", "command line")),
    read_between=st.booleans(),
)
def test_the_strongest_source_that_sets_a_name_wins_in_whatever_order_they_came(
    projects: Path, given_values: dict[tuple[str, str], int], order: list[str], read_between: bool
) -> None:
    by_source: dict[str, dict[str, int]] = {source: {} for source in SOURCES}
    for (source, name), value in given_values.items():
        by_source[source][name] = value
    table = "".join(f"{name} = {value}\n" for name, value in by_source["project"].items())
    (projects / "pyproject.toml").write_text(f"[tool.umbel]\n{table}")
    environ = {f"UMBEL_{name.upper()}": str(value) for name, value in by_source["environment"].items()}
    conf = Settings(by_source["constructor"], environ=environ, cwd=projects)
    apply = {
        "object": lambda: conf.config_from_object(by_source["object"]),
        "written": lambda: conf.update(by_source["written"]),
        "command line": lambda: conf.set_from_command_line(
            {name: str(value) for name, value in by_source["command line"].items()}
        ),
    }
    for source in order:
        apply[source]()
        if read_between:
            assert conf.timezone is None
    expected = {name: OPTIONS[name].default for name in NUMBERS} | {"worker_concurrency": available_cpus()}
    for source in SOURCES:
        expected.update(by_source[source])
    assert {name: conf[name] for name in NUMBERS} == expected


def test_every_origin_is_told_in_words(tmp_path: Path) -> None:
    conf = Settings(
        {"task_default_queue": "mail"},
        environ={"UMBEL_BROKER_URL": "memory://"},
        cwd=tmp_path,
    )
    (tmp_path / "pyproject.toml").write_text("[tool.umbel]\ntask_max_starts = 5\n")
    conf.config_from_object({"task_track_started": True})
    conf.worker_grace = 2
    conf.set_from_command_line({"worker_pool": "solo"})
    assert conf.origin("broker_url") == "environment UMBEL_BROKER_URL"
    assert conf.origin("task_default_queue") == "constructor"
    assert conf.origin("task_max_starts") == f"{tmp_path / 'pyproject.toml'} [tool.umbel]"
    assert conf.origin("task_track_started") == "config_from_object, a dict"
    assert conf.origin("worker_grace") == "app.conf"
    assert conf.origin("worker_pool") == "command line"
    assert conf.origin("timezone") == "default"


def test_the_table_shows_every_setting_with_its_origin_and_no_password(tmp_path: Path) -> None:
    conf = settings(tmp_path, {"broker_url": "redis://:sesame@host/0"}, UMBEL_RESULT_BACKEND="redis://u:sesame@host/1")
    table = conf.table()
    assert [name for name, _, _ in table] == sorted(OPTIONS)
    assert ("broker_url", "redis://:********@host/0", "constructor") in table
    assert ("result_backend", "redis://u:********@host/1", "environment UMBEL_RESULT_BACKEND") in table
    assert ("worker_grace", "30.0", "default") in table
    assert "sesame" not in repr(table)
    assert "sesame" not in repr(conf)


def test_nothing_is_read_before_the_first_setting_is(tmp_path: Path) -> None:
    environ: dict[str, str] = {}
    conf = Settings({"worker_grace": 1}, environ=environ, cwd=tmp_path)
    conf.config_from_object("a_module_that_is_never_imported")
    conf.task_max_starts = 9
    conf.config_from_object({})
    environ["UMBEL_WORKER_POOL"] = "solo"
    (tmp_path / "pyproject.toml").write_text("[tool.umbel]\ntask_acks_late = false\n")
    assert (conf.worker_pool, conf.task_acks_late, conf.worker_grace, conf.task_max_starts) == ("solo", False, 1.0, 9)


def test_environment_and_project_are_read_once(tmp_path: Path) -> None:
    environ = {"UMBEL_WORKER_POOL": "solo"}
    conf = Settings(environ=environ, cwd=tmp_path)
    assert conf.worker_pool == "solo"
    environ["UMBEL_WORKER_POOL"] = "processes"
    conf.worker_grace = 1
    assert conf.worker_pool == "solo"


def test_the_processs_own_environment_and_folder_are_used_by_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.umbel]\ntask_acks_late = false\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UMBEL_WORKER_POOL", "solo")
    conf = Settings()
    assert (conf.worker_pool, conf.task_acks_late) == ("solo", False)
    assert conf.broker_url == f"sqlite:///{tmp_path}/.umbel/umbel.db"


def test_a_deleted_current_folder_is_a_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(ConfigurationError, match="the current folder has been deleted"):
        _ = Settings(environ={}).timezone


@pytest.mark.parametrize("constructor", [{}, {"broker_url": None}])
def test_without_a_broker_the_url_is_that_of_the_projects_own_file(tmp_path: Path, constructor: dict[str, Any]) -> None:
    conf = settings(tmp_path, constructor)
    assert conf.broker_url == f"sqlite:///{tmp_path}/.umbel/umbel.db"
    assert conf.result_backend is UNSET
    assert not (tmp_path / ".umbel").exists()


def test_none_as_concurrency_is_the_number_of_cpus(tmp_path: Path) -> None:
    assert settings(tmp_path).worker_concurrency == available_cpus()
    conf = settings(tmp_path, {"worker_concurrency": 7})
    conf.worker_concurrency = None
    assert (conf.worker_concurrency, conf.origin("worker_concurrency")) == (available_cpus(), "app.conf")


def test_umbel_home_moves_the_projects_file(tmp_path: Path) -> None:
    conf = settings(tmp_path, UMBEL_HOME=str(tmp_path / "data"))
    assert conf.broker_url == f"sqlite:///{tmp_path}/data/umbel.db"


def test_urls_of_the_environment_beat_the_constructor(tmp_path: Path) -> None:
    conf = settings(tmp_path, {"broker_url": "redis://one"}, UMBEL_BROKER_URL="memory://", UMBEL_RESULT_BACKEND="none")
    assert conf.broker_url == "memory://"
    assert conf.result_backend is None


def test_settings_are_a_mapping(tmp_path: Path) -> None:
    conf = settings(tmp_path)
    assert isinstance(conf, Mapping)
    assert dict(conf)["worker_grace"] == conf["worker_grace"] == conf.worker_grace == 30.0
    assert len(conf) == len(OPTIONS) == len(list(conf))
    assert "worker_grace" in conf
    assert "nope" not in conf
    assert conf.get("nope", 7) == 7
    assert "worker_grace" in dir(conf)


def test_an_unknown_name_that_is_read_is_an_error_that_python_understands(tmp_path: Path) -> None:
    conf = settings(tmp_path)
    with pytest.raises(UnknownOption, match=r"app.conf: unknown name 'worker_gras'; did you mean 'worker_grace'\?$"):
        _ = conf.worker_gras
    with pytest.raises(AttributeError):
        _ = conf.worker_gras
    with pytest.raises(KeyError):
        _ = conf["worker_gras"]
    with pytest.raises(UnknownOption):
        conf.origin("worker_gras")
    assert not hasattr(conf, "worker_gras")
    assert not hasattr(conf, "_worker_gras")


def test_a_write_is_seen_by_the_next_read(tmp_path: Path) -> None:
    conf = settings(tmp_path)
    assert conf.worker_grace == 30.0
    conf.worker_grace = 1
    assert conf.worker_grace == 1.0
    conf["worker_grace"] = 2
    assert conf.worker_grace == 2.0
    conf.update(worker_grace=3)
    assert conf.worker_grace == 3.0


def test_an_explicit_none_is_a_value_of_its_own(tmp_path: Path) -> None:
    conf = settings(tmp_path, {"result_backend": "memory://"})
    conf.result_backend = None
    assert conf.result_backend is None
    conf.result_backend = UNSET
    assert conf.result_backend is UNSET


def test_msgpack_is_accepted_where_it_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    found: dict[str, object | None] = {"msgpack": object()}
    monkeypatch.setattr(importlib.util, "find_spec", found.get)
    assert settings(tmp_path).accept_content == ("json", "msgpack")
    found.clear()
    assert settings(tmp_path).accept_content == ("json",)
    assert settings(tmp_path, {"accept_content": ["pickle"]}).accept_content == ("pickle",)


def test_first_reads_and_writes_from_many_threads_lose_nothing(tmp_path: Path) -> None:
    conf = settings(tmp_path)
    names = [name for name in OPTIONS if name.startswith(("task_", "worker_"))]
    barrier = threading.Barrier(16)
    seen: list[float] = []

    def read() -> None:
        barrier.wait()
        seen.extend(conf.broker_publish_timeout for _ in range(50))

    def write(name: str) -> None:
        barrier.wait()
        for _ in range(50):
            conf.update({name: conf[name]})

    threads = [threading.Thread(target=read) for _ in range(8)]
    threads += [threading.Thread(target=write, args=(name,)) for name in names[:8]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(seen) == {5.0}
    assert {conf.origin(name) for name in names[:8]} == {"app.conf"}


def test_a_block_overrides_every_source_and_leaves_them_as_they_were(tmp_path: Path) -> None:
    conf = Settings(environ={"UMBEL_BROKER_PUBLISH_TIMEOUT": "3"}, cwd=tmp_path)
    told: list[float] = []
    conf.on_write(lambda: told.append(conf.broker_publish_timeout))
    with conf.overridden({"broker_publish_timeout": 9}, "a test"):
        assert (conf.broker_publish_timeout, conf.origin("broker_publish_timeout")) == (9, "a test")
        conf.task_default_queue = "written"
    assert (conf.broker_publish_timeout, conf.task_default_queue) == (3, "written")
    assert told == [9, 9, 3]
    with pytest.raises(UnknownOption, match="a test: unknown name"), conf.overridden({"broker": 1}, "a test"):
        pass
