"""The app is found where its user says, or where it usually is; else the error lists every place tried."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from umbel import current
from umbel.errors import AppNotFound, ConfigurationError
from umbel.lookup import Found, find_app

APP = "from umbel.app import Umbel\n{name} = Umbel({main!r})\n"


class Project:
    """A folder with modules, looked at as a command started in it would."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.write("pyproject.toml", "")

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def app(self, name: str, attribute: str = "app", main: str = "shop", more: str = "") -> Path:
        """A module with an app as that attribute."""
        return self.write(name, APP.format(name=attribute, main=main) + more)

    def find(self, spec: str | None = None, **environ: str) -> Found:
        return find_app(spec, cwd=self.folder, environ=environ)

    def error(self, spec: str | None = None, **environ: str) -> str:
        with pytest.raises(AppNotFound) as caught:
            self.find(spec, **environ)
        return str(caught.value)


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """A project whose modules, path entries and apps are forgotten afterwards."""
    path, modules, chosen = list(sys.path), set(sys.modules), current._current
    yield Project(tmp_path / "project")
    sys.path[:] = path
    current.choose(chosen)
    for name in set(sys.modules) - modules:
        if str(getattr(sys.modules[name], "__file__", "") or "").startswith(str(tmp_path)):
            del sys.modules[name]


# -- named ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("attribute", ["app", "umbel", "celery", "whatever"])
def test_a_modules_usual_name_or_only_app_is_found(project: Project, attribute: str) -> None:
    project.app("shop.py", attribute)
    found = project.find("shop")
    assert (found.app.main, found.module, found.attribute) == ("shop", "shop", attribute)


def test_the_usual_names_are_tried_in_order(project: Project) -> None:
    project.app("shop.py", "umbel", "second", APP.format(name="app", main="first"))
    assert project.find("shop").app.main == "first"


def test_a_name_after_a_colon_is_taken_and_nothing_else(project: Project) -> None:
    project.app("shop.py", "app", "first", APP.format(name="other", main="second") + "class Held:\n    app = other\n")
    assert project.find("shop:other").app.main == "second"
    assert project.find("shop:Held.app")[1:] == ("shop", "Held.app")


@pytest.mark.parametrize("submodule", ["umbel", "celery", "tasks"])
def test_a_packages_submodules_are_looked_at_after_itself(project: Project, submodule: str) -> None:
    project.write("shop/__init__.py", "")
    project.app(f"shop/{submodule}.py", "app")
    assert project.find("shop")[1:] == (f"shop.{submodule}", "app")


def test_one_app_under_two_names_is_one_app(project: Project) -> None:
    project.app("shop.py", "one", more="two = one\n")
    assert project.find("shop").app.main == "shop"


def test_several_apps_without_a_usual_name_are_an_error_that_offers_them(project: Project) -> None:
    project.app("shop.py", "one", more=APP.format(name="two", main="two"))
    assert project.error("shop") == "shop has several apps; say which: -A shop:one or shop:two"


def test_the_current_folder_comes_first_on_the_path(project: Project) -> None:
    project.app("json_shop.py")
    sys.path.append(str(project.folder))
    project.find("json_shop")
    assert sys.path[0] == str(project.folder)
    assert sys.path.count(str(project.folder)) == 1


def test_something_else_that_is_called_app_is_told_in_the_error(project: Project) -> None:
    path = project.write("shop.py", "app = {}\nimport json as umbel\nclass celery: pass\n")
    assert f"shop ({path}): no app in it; app is of type dict; celery is the class shop.celery" in project.error("shop")


def test_the_error_lists_the_submodules_that_were_tried(project: Project) -> None:
    init = project.write("shop/__init__.py", "")
    tasks = project.write("shop/tasks.py", "app = 3\n")
    assert project.error("shop").splitlines() == [
        "no app found:",
        f"  shop ({init}): no app in it",
        "  shop.umbel: no such module",
        "  shop.celery: no such module",
        f"  shop.tasks ({tasks}): no app in it; app is of type int",
        'Name it with -A module or -A module:name, or make one in tasks.py: app = Umbel("tasks")',
    ]


@pytest.mark.parametrize(
    ("spec", "complaint"),
    [
        ("shopp", "-A shopp: no module 'shopp' in {folder} or elsewhere on sys.path; did you mean 'shop'?"),
        ("stall", "-A stall: no module 'stall' in {folder} or elsewhere on sys.path; did you mean 'stalls'?"),
        ("shop.tasks", "-A shop.tasks: no module 'shop.tasks' in {folder}"),
        ("shop.py", "-A shop.py: no module 'shop.py' in {folder} or elsewhere on sys.path; without .py: shop"),
        ("stalls/shop.py", "-A stalls/shop.py: not of the form module or module:name; write stalls.shop"),
        ("./shop", "-A ./shop: not of the form module or module:name; write shop"),
        ("", "-A : not of the form module or module:name"),
        (":app", "-A :app: not of the form module or module:name"),
        ("shop:", "-A shop:: not of the form module or module:name"),
        ("no-module", "-A no-module: not of the form module or module:name"),
        ("shop:appp", "-A shop:appp: no 'appp' in {folder}/shop.py; did you mean 'app'?"),
        ("shop:app.inner", "-A shop:app.inner: no 'inner' in {folder}/shop.py"),
        ("shop:number", "-A shop:number: in {folder}/shop.py it is of type int, not an app"),
        ("shop:add", "-A shop:add: in {folder}/shop.py it is the task shop.add, not an app"),
    ],
)
def test_a_name_that_leads_nowhere_says_what_was_there(project: Project, spec: str, complaint: str) -> None:
    project.app("shop.py", more="number = 3\n@app.task\ndef add(): ...\n")
    project.write("stalls/__init__.py", "")
    assert complaint.format(folder=project.folder) in project.error(spec)


def test_an_error_inside_the_module_is_raised_as_it_is_and_says_who_wanted_it(project: Project) -> None:
    project.write("shop.py", "import a_module_that_is_missing\n")
    with pytest.raises(ModuleNotFoundError, match="a_module_that_is_missing") as caught:
        project.find("shop")
    assert caught.value.__notes__ == ["while importing 'shop' to find the app (-A shop)"]
    assert caught.traceback[-1].path == project.folder / "shop.py"


def test_an_error_inside_a_submodule_is_not_taken_for_its_absence(project: Project) -> None:
    project.write("shop/__init__.py", "")
    project.write("shop/umbel.py", "1 / 0\n")
    project.app("shop/tasks.py")
    with pytest.raises(ZeroDivisionError) as caught:
        project.find("shop")
    assert caught.value.__notes__ == ["while importing 'shop.umbel' to find the app (-A shop)"]


# -- not named ------------------------------------------------------------------------------------------------------


def test_without_a_name_the_environments_comes_first_then_the_projects_then_the_files(project: Project) -> None:
    for name in ("one", "two", "tasks", "app"):
        project.app(f"{name}.py", main=name)
    table = project.write("pyproject.toml", '[tool.umbel]\napp = "two:app"\n')
    assert project.find(UMBEL_APP="one").module == "one"
    assert project.find().module == "two"
    table.write_text("")
    assert project.find(UMBEL_APP="").module == "tasks"
    (project.folder / "tasks.py").unlink()
    assert project.find().module == "app"


def test_a_named_app_beats_the_environments(project: Project) -> None:
    project.app("one.py", main="one")
    project.app("two.py", main="two")
    assert project.find("one", UMBEL_APP="two").module == "one"


def test_the_projects_app_is_found_from_a_folder_inside(project: Project) -> None:
    project.app("shop.py")
    project.write("pyproject.toml", '[tool.umbel]\napp = "shop"\n')
    inner = project.folder / "src"
    inner.mkdir()
    assert find_app(None, cwd=inner, environ={}).module == "shop"
    assert sys.path[:2] == [str(inner), str(project.folder)]


@pytest.mark.parametrize("where", ["UMBEL_APP=one", "pyproject.toml [tool.umbel] app = 'one'"])
def test_a_chosen_app_that_is_not_there_is_not_replaced_by_another(project: Project, where: str) -> None:
    project.app("tasks.py")
    if where.startswith("UMBEL_APP"):
        error = project.error(UMBEL_APP="one")
    else:
        project.write("pyproject.toml", '[tool.umbel]\napp = "one"\n')
        error = project.error()
    assert f"{where}: no module 'one'" in error


def test_an_app_of_the_project_that_is_no_text_is_refused(project: Project) -> None:
    project.write("pyproject.toml", "[tool.umbel]\napp = 3\n")
    assert 'app is 3; write it as text: app = "module:name"' in project.error()


def test_a_broken_pyproject_is_named(project: Project) -> None:
    project.write("pyproject.toml", "[tool.umbel\n")
    with pytest.raises(ConfigurationError, match=r"pyproject.toml is not valid TOML"):
        project.find()


def test_the_error_lists_every_place_where_an_app_could_have_been(project: Project) -> None:
    folder = project.folder
    project.write("tasks.py", "")
    assert project.error().splitlines()[:-1] == [
        "no app found:",
        "  -A, UMBEL_APP: not given",
        f"  {folder}/pyproject.toml: no app in [tool.umbel]",
        f"  DJANGO_SETTINGS_MODULE: not given; {folder}/manage.py: no such file",
        f"  tasks ({folder}/tasks.py): no app in it",
        f"  {folder}/app.py: no such file",
    ]


def test_an_error_inside_a_file_that_was_only_tried_says_why_it_was(project: Project) -> None:
    path = project.write("tasks.py", "1 / 0\n")
    with pytest.raises(ZeroDivisionError) as caught:
        project.find()
    assert caught.value.__notes__ == [
        f"while importing 'tasks' to find the app ({path}, looked at because no app was named)"
    ]
