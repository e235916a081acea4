"""Tests a Django site that has umbel among its apps: in processes of its own, as Django allows one site in each."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.cli.project import Project, Running
from umbel import Umbel
from umbel.errors import ConfigurationError

MANAGE = """
import os
import sys

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")
from django.core.management import execute_from_command_line

execute_from_command_line(sys.argv)
"""

SETTINGS = """
SECRET_KEY = "a secret of a test"
USE_TZ = True
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "shop.sqlite3"}}
INSTALLED_APPS = ["shop"]
INSTALLED_APPS += ["umbel.contrib.django"]; UMBEL = {"task_default_queue": "shop"}
"""

TASKS = """
from umbel import shared_task
@shared_task
def mail(user_id: int): ...
"""

SENT = """
mail.delay_on_commit(user.pk)                              # the id is known at once
"""

BEGIN = """
import django
django.setup()
from django.db import connection, transaction
from umbel import current_app, shared_task
from shop.tasks import mail

def waiting():
    import json, subprocess, sys
    listed = subprocess.run([sys.executable, "-m", "umbel", "list", "queues", "--json"], capture_output=True, text=True)
    return sum(json.loads(line)["ready"] for line in listed.stdout.splitlines())
"""


@pytest.fixture
def site(tmp_path: Path) -> Project:
    """A site with a folder of its own, and a task; nothing tells where its app is but ``manage.py``."""
    project = Project(tmp_path)
    (tmp_path / "tasks.py").unlink()
    (tmp_path / "pyproject.toml").unlink()
    project.write("manage.py", MANAGE)
    project.write("shop/__init__.py", "")
    project.write("shop/settings.py", SETTINGS)
    project.write("shop/tasks.py", TASKS.replace("...", "return f'mailed {user_id}'"))
    project.strict = False
    return project


def program(site: Project, text: str) -> str:
    """Run a program of the site, and give what it printed."""
    site.environ["DJANGO_SETTINGS_MODULE"] = "shop.settings"
    site.write("program.py", BEGIN + text)
    done = site.run_as([sys.executable, "-W", "error", "program.py"])
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_call_is_sent_when_the_transaction_is_committed(site: Project) -> None:
    printed = program(
        site,
        f"""
class user: pk = 7
with transaction.atomic():
    names = {{"user": user, "mail": mail}}
    exec({("result = " + SENT.strip())!r}, names)
    result = names["result"]
    assert len(result.id) == 36, result.id
    print("inside", waiting())
print("after", waiting())
print(result.id)
""",
    )
    inside, after, id = printed.splitlines()
    assert (inside, after) == ("inside 0", "after 1")
    with site.worker() as worker:
        assert site.run("result", id, "--wait", "30").stdout.strip().strip("'\"") == "mailed 7"
        finish(worker)


def finish(worker: Running) -> None:
    worker.interrupt()
    assert worker.end() == 0


def test_a_call_is_never_sent_after_a_rollback(site: Project) -> None:
    printed = program(
        site,
        """
try:
    with transaction.atomic():
        mail.delay_on_commit(7)
        raise KeyError
except KeyError:
    print(waiting())
""",
    )
    assert printed == "0\n"


def test_without_a_transaction_it_is_sent_at_once(site: Project) -> None:
    assert program(site, "mail.delay_on_commit(7)\nprint(waiting())") == "1\n"


def test_what_is_wrong_with_a_call_is_told_before_the_commit(site: Project) -> None:
    printed = program(
        site,
        """
from umbel.errors import EncodeError
with transaction.atomic():
    for call in (lambda: mail.delay_on_commit(), lambda: mail.delay_on_commit(object()),
                 lambda: mail.apply_async_on_commit((7,), countdwn=1)):
        try:
            call()
        except Exception as error:
            print(type(error).__name__)
print(waiting())
""",
    )
    assert printed.splitlines() == ["TypeError", "EncodeError", "UnknownOption", "0"]


def test_options_go_with_it_and_the_other_database_counts(site: Project) -> None:
    site.write(
        "shop/settings.py",
        SETTINGS + 'DATABASES["other"] = {"ENGINE": "django.db.backends.sqlite3", "NAME": "other.sqlite3"}\n',
    )
    printed = program(
        site,
        """
with transaction.atomic():
    with transaction.atomic(using="other"):
        mail.apply_async_on_commit((7,), using="other", task_id="mine")
        result = mail.options(task_id="yours").delay_on_commit(8)
        assert waiting() == 0
    print(waiting(), result.id)
print(waiting())
""",
    )
    assert printed.splitlines() == ["1 yours", "2"]


def test_the_worker_finds_the_site_by_its_settings_too(site: Project) -> None:
    (site.folder / "manage.py").unlink()
    site.write("pyproject.toml", "")
    site.environ["DJANGO_SETTINGS_MODULE"] = "shop.settings"
    listed = site.run("list", "tasks")
    assert "shop.tasks.mail" in listed.stdout, listed.stderr


def test_a_site_that_makes_its_own_app_keeps_it(site: Project) -> None:
    site.write("shop/settings.py", SETTINGS.replace('UMBEL = {"task_default_queue": "shop"}', ""))
    site.write("shop/__init__.py", 'from umbel import Umbel\napp = Umbel("own", task_default_queue="own")\n')
    assert (
        program(site, "print(repr(current_app._target()), current_app.conf.task_default_queue)") == "<Umbel own> own\n"
    )


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ('UMBEL = "redis://"', "settings.UMBEL is a dict of settings, such as {'broker': …}, not 'redis://'"),
        ('UMBEL = {"brokr_url": "redis://"}', "'brokr_url'; did you mean 'broker_url'"),
    ],
)
def test_settings_that_cannot_be_meant_are_told(site: Project, settings: str, complaint: str) -> None:
    site.write("shop/settings.py", SETTINGS.replace('UMBEL = {"task_default_queue": "shop"}', settings))
    done = site.run("list", "tasks")
    assert done.returncode == 1
    assert complaint in done.stderr


def test_a_site_without_umbel_among_its_apps_is_told_of(site: Project) -> None:
    site.write("shop/settings.py", SETTINGS.replace("INSTALLED_APPS +=", "UNUSED ="))
    done = site.run("list", "tasks")
    assert "manage.py = shop.settings: 'umbel.contrib.django' is not among its INSTALLED_APPS" in done.stderr


def test_outside_a_site_nothing_can_be_sent_on_commit() -> None:
    app = Umbel("none", broker="memory://", set_as_current=False)

    @app.task
    def add(x: int, y: int) -> int:
        return x + y

    with pytest.raises(ConfigurationError, match="INSTALLED_APPS"):
        add.delay_on_commit(1, 2)


def test_a_task_has_connections_that_are_its_own(site: Project) -> None:
    site.write(
        "shop/tasks.py",
        TASKS.replace(
            "...",
            """
    from django.db import connection
    before = connection.connection is None
    connection.ensure_connection()
    return [before, user_id]
""",
        ),
    )
    site.write("shop/settings.py", SETTINGS)
    with site.worker("-c", "1") as worker:
        for number in ("1", "2"):
            done = site.run("call", "shop.tasks.mail", number, "--wait")
            assert done.stdout.split() == ["[true,", f"{number}]"], done.stdout + done.stderr
        finish(worker)


def test_an_eager_call_runs_at_the_commit(site: Project) -> None:
    site.environ["UMBEL_TASK_ALWAYS_EAGER"] = "true"
    site.write("shop/tasks.py", TASKS.replace("...", "print('mailed', user_id)"))
    printed = program(
        site,
        """
with transaction.atomic():
    mail.delay_on_commit(7)
    print("inside")
""",
    )
    assert printed.splitlines() == ["inside", "mailed 7"]


def test_what_cannot_be_sent_after_the_commit_is_raised_there_and_the_data_stay(site: Project) -> None:
    site.environ["UMBEL_BROKER_URL"] = "redis://127.0.0.1:1/0"
    printed = program(
        site,
        """
from umbel.errors import PublishError
from django.db import models
current_app.conf.broker_publish_timeout = 0.2
with connection.cursor() as cursor:
    cursor.execute("CREATE TABLE kept (id INTEGER)")
try:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("INSERT INTO kept VALUES (1)")
        mail.delay_on_commit(7)
except PublishError:
    print("not sent")
with connection.cursor() as cursor:
    print(cursor.execute("SELECT count(*) FROM kept").fetchone()[0])
""",
    )
    assert printed.splitlines() == ["not sent", "1"]
