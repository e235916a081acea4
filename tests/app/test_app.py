"""Tests of the app: declaring tasks, finding modules, choosing broker and backend."""

import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from umbel import current
from umbel.app import Umbel
from umbel.errors import ConfigurationError, NoResultBackend, UmbelError, UnknownOption
from umbel.shared import shared_task
from umbel.task import Task


def make_app(**settings: object) -> Umbel:
    return Umbel("shop", broker="memory://app-tests", set_as_current=False, **settings)  # type: ignore[arg-type]


def test_a_task_is_named_after_its_module_and_function() -> None:
    app = make_app()

    @app.task
    def add(x: int, y: int) -> int:
        """Add two numbers."""
        return x + y

    assert add.name == f"{__name__}.add"
    assert add.__doc__ == "Add two numbers."
    assert add.__wrapped__.__name__ == "add"  # type: ignore[attr-defined]
    assert app.tasks[add.name] is add


def test_a_task_of_the_main_program_is_named_after_the_app() -> None:
    app = make_app()

    def add() -> None: ...

    add.__module__ = "__main__"
    assert app.name_for(add) == "shop.add"


def test_a_direct_call_is_a_call() -> None:
    app = make_app()

    @app.task
    def double(x: int) -> int:
        return 2 * x

    assert double(4) == 8
    assert double.request.called_directly


def test_a_bound_task_gets_itself() -> None:
    app = make_app()

    @app.task(bind=True)
    def own(self: Task[..., object], x: int) -> str:
        return f"{self.name} {x}"

    assert own(3) == f"{__name__}.own 3"
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'x'"):
        own.check((), {})


def test_an_unknown_option_of_a_task_names_the_nearest() -> None:
    with pytest.raises(UnknownOption, match="did you mean 'ignore_result'"):
        make_app().task(ignore_results=True)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"priority": 11}, "priority"),
        ({"queue": ""}, "queue"),
        ({"throws": ValueError}, "throws"),
        ({"expires": "x"}, "expires"),
    ],
)
def test_an_option_that_cannot_be_meant_is_refused_when_declared(options: dict[str, object], named: str) -> None:
    with pytest.raises(ConfigurationError, match=named):
        make_app().task(**options)(lambda_like)  # type: ignore[call-overload]


def lambda_like() -> None: ...


def test_only_functions_become_tasks() -> None:
    with pytest.raises(ConfigurationError, match="takes a function, not 3"):
        make_app().task(3)  # type: ignore[call-overload]


def test_a_task_class_keeps_its_attributes_between_calls() -> None:
    app = make_app()

    class Counter(Task[..., int]):
        name = "shop.count"
        calls = 0

        def run(self) -> int:
            self.calls += 1
            return self.calls

    counter = app.register_task(Counter())
    assert (counter(), counter()) == (1, 2)
    with pytest.raises(ConfigurationError, match="takes an instance"):
        app.register_task(Counter)  # type: ignore[type-var]


def test_a_base_class_lends_its_attributes_as_options() -> None:
    app = make_app()

    class Database(Task[..., str]):
        url = "none"

    @app.task(base=Database, url="db://x", bind=True)
    def where(self: Database) -> str:
        return self.url

    assert where() == "db://x"
    assert isinstance(where, Database)


def test_a_shared_task_belongs_to_every_app_before_and_after(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(current, "_shared", [])
    before = make_app()

    @shared_task(name="lib.shared", queue="lib")
    def shared(x: int) -> int:
        return x + 1

    after = make_app()
    assert before.tasks["lib.shared"].queue == after.tasks["lib.shared"].queue == "lib"
    assert shared(1) == 2
    try:
        after.set_current()
        assert shared.app is after
    finally:
        current.choose(None)


def test_without_any_app_the_error_says_what_to_do() -> None:
    current.choose(None)
    with pytest.raises(ConfigurationError, match="make one first"):
        current.app()


def test_modules_are_discovered_and_their_own_errors_are_raised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in {"alpha": "found = True", "beta": "import not_there_at_all"}.items():
        package = tmp_path / f"disco_{name}"
        package.mkdir()
        (package / "__init__.py").touch()
        (package / "tasks.py").write_text(text)
    (tmp_path / "disco_gamma").mkdir()
    (tmp_path / "disco_gamma" / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    app = make_app()
    app.autodiscover_tasks(["disco_alpha", "disco_gamma"])
    app.import_modules()
    assert sys.modules["disco_alpha.tasks"].found
    with pytest.raises(ModuleNotFoundError, match="not_there_at_all"):
        app.autodiscover_tasks(lambda: ["disco_beta"], force=True)
    with pytest.raises(ModuleNotFoundError, match="disco_delta"):
        app.autodiscover_tasks(["disco_delta"], force=True)


def test_packages_themselves_can_be_imported_without_a_module_below_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "disco_whole").mkdir()
    (tmp_path / "disco_whole" / "__init__.py").write_text("found = True")
    monkeypatch.syspath_prepend(str(tmp_path))
    make_app().autodiscover_tasks(["disco_whole"], related_name=None, force=True)
    assert sys.modules["disco_whole"].found
    with pytest.raises(ModuleNotFoundError, match="disco_absent"):
        make_app().autodiscover_tasks(["disco_absent"], related_name=None, force=True)


def test_results_can_be_off_and_asking_says_which_setting() -> None:
    app = make_app(result_backend=None)
    assert app.result_url is None
    with pytest.raises(NoResultBackend, match="result_backend is off"):
        app.result("x").ready()


def test_results_go_to_the_brokers_own_store_by_default() -> None:
    assert make_app().result_url == "memory://app-tests"
    assert make_app(result_backend="sqlite:///other.db").result_url == "sqlite:///other.db"


def test_a_changed_url_is_followed() -> None:
    app = make_app()
    first = app.broker
    assert app.broker is first
    app.conf.broker_url = "memory://another"
    assert app.broker is not first
    assert app.result_url == "memory://another"


def test_an_id_that_is_no_text_is_refused() -> None:
    with pytest.raises(UmbelError, match="a task id is a text"):
        make_app().result("")


def test_the_check_of_arguments_can_be_left_to_the_tasks() -> None:
    app = Umbel("shop", broker="memory://app-tests", set_as_current=False, strict_typing=False)
    loose, strict = app.task(name="loose")(lambda_like), app.task(name="strict", typing=True)(lambda_like)
    loose.check((1,), {})
    with pytest.raises(TypeError, match="takes 0 positional arguments"):
        strict.check((1,), {})


@pytest.fixture
def machine_in_vienna(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Vienna")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("machine_in_vienna")
def test_times_are_in_utc_unless_told_otherwise() -> None:
    assert make_app().timezone is UTC
    assert str(make_app(timezone="Asia/Tokyo", enable_utc=False).timezone) == "Asia/Tokyo"
    assert make_app().now().utcoffset() == timedelta(0)
    assert make_app(timezone="Asia/Tokyo").now().utcoffset() == timedelta(hours=9)


@pytest.mark.usefixtures("machine_in_vienna")
def test_with_utc_off_times_are_the_machines_summer_and_winter() -> None:
    zone = make_app(enable_utc=False).timezone
    assert datetime(2030, 7, 1, 12, tzinfo=zone) == datetime(2030, 7, 1, 10, tzinfo=UTC)
    assert datetime(2030, 1, 1, 12, tzinfo=zone).isoformat() == "2030-01-01T12:00:00+01:00"
    for hour in (0, 1):  # 02:30 comes twice on that night
        moment = datetime(2030, 10, 27, hour, 30, tzinfo=UTC)
        assert moment.astimezone(zone).isoformat() == f"2030-10-27T02:30:00+0{2 - hour}:00"
    assert (zone.tzname(datetime(2030, 7, 1, tzinfo=UTC)), zone.utcoffset(None)) == ("CEST", None)
    assert repr(zone) == "the machine's own time zone"


def test_the_settings_can_be_in_a_module_that_a_variable_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "named_settings.py").write_text("task_default_queue = 'named'\nSHOP_TASK_DEFAULT_QUEUE = 'spaced'\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    app = make_app()
    with pytest.raises(ConfigurationError, match="the environment variable SHOP_SETTINGS is not set"):
        app.config_from_envvar("SHOP_SETTINGS")
    monkeypatch.setenv("SHOP_SETTINGS", "named_settings")
    app.config_from_envvar("SHOP_SETTINGS")
    assert app.conf.task_default_queue == "named"
    app.config_from_envvar("SHOP_SETTINGS", namespace="SHOP")
    assert app.conf.task_default_queue == "spaced"


def test_the_environment_names_a_module_for_apps_that_name_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "outer_settings.py").write_text("task_default_queue = 'outer'\ntask_max_starts = 7\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("UMBEL_CONFIG_MODULE", "outer_settings")
    assert make_app().conf.task_default_queue == "outer"
    assert make_app(task_default_queue="own").conf.task_default_queue == "own"
    own = make_app()
    own.config_from_object({"task_max_starts": 5})
    assert (own.conf.task_default_queue, own.conf.task_max_starts) == ("celery", 5)
    monkeypatch.setenv("UMBEL_CONFIG_MODULE", "no_such_settings")
    with pytest.raises(ConfigurationError, match="there is no module 'no_such_settings'"):
        _ = make_app().conf.task_default_queue


def test_making_an_app_touches_nothing(tmp_path: Path) -> None:
    code = "from umbel import Umbel; app = Umbel('x'); app.task(lambda: None, ) if 0 else None"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, env={"PYTHONPATH": str(Path.cwd())})
    assert list(tmp_path.iterdir()) == []
