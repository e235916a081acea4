"""Each source is read strictly: what it means as a setting is one, or an error that names the nearest."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from umbel.errors import ConfigurationError, UnknownOption
from umbel.settings.loader import Settings

Write = Callable[[str, str], Path]


@pytest.fixture
def module(tmp_path: Path) -> Iterator[Write]:
    """Writes modules into a folder of sys.path; what was imported from it is forgotten afterwards."""
    folder = tmp_path / "modules"
    folder.mkdir()
    sys.path.insert(0, str(folder))

    def write(name: str, text: str) -> Path:
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return path

    yield write
    sys.path.remove(str(folder))
    for name, loaded in list(sys.modules.items()):
        if str(getattr(loaded, "__file__", "") or "").startswith(str(folder)):
            del sys.modules[name]


def settings(tmp_path: Path, constructor: dict[str, Any] | None = None, **environ: str) -> Settings:
    (tmp_path / "pyproject.toml").touch()
    return Settings(constructor, environ=environ, cwd=tmp_path)


# -- environment ----------------------------------------------------------------------------------------------------


def test_an_unknown_variable_with_the_prefix_is_an_error_with_the_nearest(tmp_path: Path) -> None:
    conf = settings(tmp_path, UMBEL_WORKER_GRACES="3")
    with pytest.raises(UnknownOption, match=r"environment: unknown name 'UMBEL_WORKER_GRACES'; .*'UMBEL_WORKER_GRACE'"):
        _ = conf.timezone


def test_a_bad_value_in_the_environment_stops_every_read_and_names_the_variable(tmp_path: Path) -> None:
    conf = settings(tmp_path, UMBEL_WORKER_GRACE="soon")
    for _ in range(2):
        with pytest.raises(ConfigurationError, match=r"worker_grace: expected .* environment UMBEL_WORKER_GRACE"):
            _ = conf.timezone


def test_variables_that_are_not_settings_are_left_alone(tmp_path: Path) -> None:
    others = {"UMBEL_APP": "x", "UMBEL_TEST_REDIS_URL": "y", "UMBEL_ALLOW_PICKLE_AS_ROOT": "1", "UMBELLA": "z"}
    assert settings(tmp_path, None, **others).timezone is None


# -- constructor, writes, command line ------------------------------------------------------------------------------


def test_an_unknown_keyword_of_the_constructor_is_an_error_at_once() -> None:
    with pytest.raises(UnknownOption, match=r"Umbel\(\): unknown name 'task_serialiser'; .*'task_serializer'"):
        Settings({"task_serialiser": "json"})


def test_a_wrong_value_of_the_constructor_is_an_error_at_once() -> None:
    with pytest.raises(
        ConfigurationError, match=r"task_acks_late: expected True or False, got str 'yes'.* constructor"
    ):
        Settings({"task_acks_late": "yes"})


def test_an_unknown_write_is_an_error_with_the_nearest(tmp_path: Path) -> None:
    conf = settings(tmp_path)
    with pytest.raises(UnknownOption, match=r"app.conf: unknown name 'worker_gras'; .*'worker_grace'"):
        conf.worker_gras = 3
    with pytest.raises(UnknownOption, match="'worker_grace'"):
        conf["worker_gras"] = 3


def test_an_option_that_does_not_exist_yet_is_unknown(tmp_path: Path) -> None:
    with pytest.raises(UnknownOption, match="beat_schedule"):
        settings(tmp_path).update(beat_schedule={})


def test_an_update_with_one_wrong_value_changes_nothing(tmp_path: Path) -> None:
    conf = settings(tmp_path)
    with pytest.raises(ConfigurationError, match="task_max_starts"):
        conf.update({"worker_grace": 1}, task_max_starts="many")
    assert conf.worker_grace == 30.0


def test_texts_of_the_command_line_are_cast_and_other_values_checked(tmp_path: Path) -> None:
    conf = settings(tmp_path)
    conf.set_from_command_line({"worker_grace": "1.5", "worker_concurrency": 3})
    assert (conf.worker_grace, conf.worker_concurrency) == (1.5, 3)
    conf.set_from_command_line({"worker_concurrency": "4"})
    assert (conf.worker_grace, conf.worker_concurrency) == (1.5, 4)


def test_a_wrong_command_line_is_an_error_at_once(tmp_path: Path) -> None:
    conf = settings(tmp_path)
    with pytest.raises(UnknownOption, match=r"command line: unknown name 'worker_grase'; .*'worker_grace'"):
        conf.set_from_command_line({"worker_grase": "1"})
    with pytest.raises(ConfigurationError, match="got str '1s'; correct it there: command line, worker_grace"):
        conf.set_from_command_line({"worker_grace": "1s"})
    with pytest.raises(ConfigurationError, match="got int -1"):
        conf.set_from_command_line({"worker_grace": -1})


# -- pyproject.toml -------------------------------------------------------------------------------------------------


def test_the_projects_table_is_read_and_its_app_left_to_the_lookup(tmp_path: Path) -> None:
    path = tmp_path / "pyproject.toml"
    path.write_text('[tool.umbel]\napp = "shop"\nworker_grace = 5\nimports = ["shop.mail"]\n')
    conf = Settings(environ={}, cwd=tmp_path)
    assert (conf.worker_grace, conf.imports) == (5.0, ("shop.mail",))
    assert conf.origin("worker_grace") == f"{path} [tool.umbel]"


def test_an_unknown_key_of_the_projects_table_is_an_error_with_the_nearest(tmp_path: Path) -> None:
    path = tmp_path / "pyproject.toml"
    path.write_text("[tool.umbel]\nworker-grace = 5\n")
    with pytest.raises(UnknownOption, match=r"pyproject.toml \[tool.umbel\]: unknown name 'worker-grace'"):
        _ = Settings(environ={}, cwd=tmp_path).timezone


def test_a_wrong_value_of_the_projects_table_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.umbel]\nworker_grace = "5"\n')
    with pytest.raises(ConfigurationError, match=r"worker_grace: .*pyproject.toml \[tool.umbel\]"):
        _ = Settings(environ={}, cwd=tmp_path).timezone


# -- config_from_object ---------------------------------------------------------------------------------------------


def test_a_module_is_imported_at_the_first_read_and_not_before(tmp_path: Path, module: Write) -> None:
    path = module("shop_settings.py", "worker_grace = 4\nDEBUG = True\ngreeting = 'hello'\n")
    conf = settings(tmp_path)
    conf.config_from_object("shop_settings")
    assert "shop_settings" not in sys.modules
    assert conf.worker_grace == 4.0
    assert conf.origin("worker_grace") == str(path)


def test_a_class_an_object_a_module_and_a_mapping_are_read_too(tmp_path: Path) -> None:
    class Config:
        worker_grace = 4
        _worker_private = 1
        other = 2

    conf = settings(tmp_path)
    conf.config_from_object(Config)
    assert conf.worker_grace == 4.0
    assert "Config" in conf.origin("worker_grace")
    conf.config_from_object(Config())
    assert conf.worker_grace == 4.0
    loaded = types.ModuleType("made_by_hand")
    loaded.worker_grace = 5  # type: ignore[attr-defined]
    conf.config_from_object(loaded)
    assert (conf.worker_grace, conf.origin("worker_grace")) == (5.0, "module made_by_hand")
    conf.config_from_object({"worker_grace": 6})
    assert conf.worker_grace == 6.0


def test_an_attribute_of_a_module_is_read_as_the_source(tmp_path: Path, module: Write) -> None:
    module("shop_settings.py", "class Live:\n    class Worker:\n        worker_grace = 4\n")
    conf = settings(tmp_path)
    conf.config_from_object("shop_settings:Live.Worker")
    assert conf.worker_grace == 4.0
    conf.config_from_object("shop_settings:Test")
    with pytest.raises(ConfigurationError, match=r"shop_settings:Test.*shop_settings has no 'Test'"):
        _ = conf.worker_grace


def test_the_last_source_replaces_the_earlier_ones(tmp_path: Path) -> None:
    conf = settings(tmp_path)
    conf.config_from_object({"worker_grace": 4, "task_max_starts": 7})
    assert conf.task_max_starts == 7
    conf.config_from_object({"worker_grace": 5})
    assert (conf.worker_grace, conf.task_max_starts) == (5.0, 3)


def test_with_a_namespace_only_prefixed_upper_case_names_count(tmp_path: Path) -> None:
    class Config:
        UMBEL_WORKER_GRACE = 4
        WORKER_GRACE = 5
        worker_grace = 6
        worker_unknown = 7
        UMBEL = 8

    conf = settings(tmp_path)
    for namespace in ("UMBEL", "UMBEL_"):
        conf.config_from_object(Config, namespace=namespace)
        assert conf.worker_grace == 4.0


def test_an_unknown_name_of_the_namespace_is_an_error_with_the_nearest(tmp_path: Path) -> None:
    conf = settings(tmp_path)
    conf.config_from_object({"UMBEL_WORKER_GRASE": 4, "OTHER": 1}, namespace="UMBEL")
    with pytest.raises(UnknownOption, match=r"unknown name 'UMBEL_WORKER_GRASE'; .*'UMBEL_WORKER_GRACE'"):
        _ = conf.timezone


def test_an_unknown_attribute_that_starts_like_a_setting_is_an_error(tmp_path: Path, module: Write) -> None:
    path = module("shop_settings.py", "task_serialiser = 'json'\n")
    conf = settings(tmp_path)
    conf.config_from_object("shop_settings")
    with pytest.raises(UnknownOption, match=r"unknown name 'task_serialiser'; .*'task_serializer'") as caught:
        _ = conf.timezone
    assert str(path) in str(caught.value)


def test_a_mapping_holds_nothing_but_settings(tmp_path: Path) -> None:
    conf = settings(tmp_path)
    conf.config_from_object({"timezon": "UTC"})
    with pytest.raises(UnknownOption, match=r"unknown name 'timezon'; .*'timezone'"):
        _ = conf.timezone


def test_a_wrong_value_in_a_module_names_the_file(tmp_path: Path, module: Write) -> None:
    path = module("shop_settings.py", "worker_grace = 'soon'\n")
    conf = settings(tmp_path)
    conf.config_from_object("shop_settings")
    with pytest.raises(ConfigurationError, match=f"got str 'soon'; correct it there: {path}"):
        _ = conf.timezone


@pytest.mark.parametrize("name", ["shop_nowhere", "shop_nowhere.settings", "json.nowhere"])
def test_a_module_that_does_not_exist_is_a_configuration_error(tmp_path: Path, name: str) -> None:
    conf = settings(tmp_path)
    conf.config_from_object(name)
    with pytest.raises(ConfigurationError, match=f"there is no module '{name}'"):
        _ = conf.timezone


@pytest.mark.parametrize("name", ["", ":Live"])
def test_an_empty_name_is_refused_at_once(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigurationError, match="takes the name of a module"):
        settings(tmp_path).config_from_object(name)


def test_an_error_inside_the_module_is_raised_as_it_is_with_a_note(tmp_path: Path, module: Write) -> None:
    module("shop_settings.py", "import shop_nowhere\n")
    conf = settings(tmp_path)
    conf.config_from_object("shop_settings")
    with pytest.raises(ModuleNotFoundError, match="shop_nowhere") as caught:
        _ = conf.timezone
    assert caught.value.__notes__ == ["while reading settings: config_from_object('shop_settings')"]


def test_a_module_that_reads_settings_while_they_are_loaded_from_it_is_told_so(tmp_path: Path, module: Write) -> None:
    module("shop_app.py", "conf = None\n")
    module("shop_settings.py", "import shop_app\nshop_app.conf.worker_grace\nworker_grace = 4\n")
    conf = settings(tmp_path)
    conf.config_from_object("shop_settings")
    import shop_app  # type: ignore[import-not-found]

    shop_app.conf = conf
    with pytest.raises(ConfigurationError, match="shop_settings are needed while it is still being imported"):
        _ = conf.worker_grace
