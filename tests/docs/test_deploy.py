"""Holds the files of docs/deploy.md against the programs that read them."""

from __future__ import annotations

import configparser
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest
import yaml

from tests.docs.pages import blocks, tables
from umbel.cli.choice import Choice
from umbel.cli.program import program
from umbel.settings.options import OPTIONS
from umbel.stores.amqp.address import addresses as amqp_addresses
from umbel.stores.redis.address import addresses as redis_addresses

GRACE = OPTIONS["worker_grace"].default
REST = 10.0
"""Seconds that a worker needs at most beyond its grace."""


@pytest.fixture(scope="module")
def page(root: Path) -> Path:
    return root / "docs" / "deploy.md"


def files(page: Path, language: str) -> list[str]:
    return [block.text for block in blocks(page) if block.language == language]


def parsed(text: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(delimiters="=", interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(text)
    return parser


def understood(command: str) -> click.Context:
    """The context of the command that umbel takes this line for; raises ``click.UsageError``."""
    path, *words = shlex.split(command)
    assert path.endswith("umbel")
    words = [word.replace("%%", "%") for word in words if not word.startswith("$")]
    at = words.index("worker")
    with program.make_context("umbel", words[: at + 1], obj=Choice()) as context:
        return program.commands["worker"].make_context("worker", words[at + 1 :], parent=context)


def test_the_unit_gives_a_worker_the_time_and_the_signals_that_it_needs(page: Path) -> None:
    service = parsed(files(page, "ini")[0])["Service"]

    assert (service["Type"], service["KillMode"], service["OOMPolicy"]) == ("notify", "mixed", "continue")
    assert float(service["TimeoutStopSec"]) >= GRACE + REST
    assert understood(service["ExecStart"]).params["quiet"] is True


def test_systemd_has_nothing_to_say_against_the_unit(page: Path, tmp_path: Path) -> None:
    unit = tmp_path / "umbel@.service"
    unit.write_text(files(page, "ini")[0].replace("/srv/shop/venv/bin/umbel", sys.executable))
    known = {"Unit": {"Description", "Wants", "After"}, "Install": {"WantedBy"}}
    assert all(set(parsed(unit.read_text())[name]) == keys for name, keys in known.items())
    analyze = shutil.which("systemd-analyze")
    if analyze is not None:  # where systemd is at hand, it judges itself
        judged = subprocess.run([analyze, "verify", str(unit)], capture_output=True, text=True, check=False)
        assert (judged.returncode, judged.stdout + judged.stderr) == (0, "")


def test_the_environment_of_one_worker_names_flags_and_settings_that_exist(page: Path) -> None:
    lines = dict(line.partition("=")[::2] for line in files(page, "ini")[1].splitlines())
    flags = lines.pop("WORKER_FLAGS")

    assert understood(f"umbel worker {flags}").params["queues"] == ("mail",)
    assert set(lines) <= {option.environment_name for option in OPTIONS.values()}


def test_compose_waits_long_enough(page: Path) -> None:
    worker = yaml.safe_load(files(page, "yaml")[0])["services"]["worker"]

    assert float(worker["stop_grace_period"].removesuffix("s")) >= GRACE + REST
    assert understood(shlex.join(worker["command"])).info_name == "worker"


def test_supervisord_waits_long_enough_and_signals_the_worker_alone(page: Path) -> None:
    section = parsed(files(page, "ini")[2])["program:umbel-mail"]

    assert float(section["stopwaitsecs"]) >= GRACE + REST
    assert section["stopasgroup"] == "false"
    assert understood(section["command"]).params["hostname"] == "mail@%h"


def test_the_table_gives_every_supervisor_the_same_time(page: Path) -> None:
    rows = next(tables(page.read_text()))[1:]

    assert len(rows) == 4
    assert all("45" in row[2] for row in rows)


def test_the_compose_file_names_what_exists(root: Path) -> None:
    file = root / "examples" / "compose.yaml"
    services = yaml.safe_load(file.read_text())["services"]
    worker, page = services["worker"], services["page"]

    assert float(worker["stop_grace_period"].removesuffix("s")) >= GRACE + REST
    command = understood(shlex.join(worker["command"]))
    assert command.info_name == "worker"
    module = page["command"][1].partition(":")[0]
    assert worker["command"][2] == module
    assert (root / worker["working_dir"].removeprefix("/app/") / f"{module}.py").exists()
    for service in (worker, page):
        assert set(service["environment"]) <= {option.environment_name for option in OPTIONS.values()}
        broker = service["environment"]["UMBEL_BROKER_URL"].removeprefix("${UMBEL_BROKER_URL:-").removesuffix("}")
        for url in (broker, service["environment"]["UMBEL_RESULT_BACKEND"]):
            (address,) = redis_addresses(url)
            assert (address.host, address.port, address.db) == ("redis", 6379, 0)
        assert set(service["depends_on"]) <= services.keys()
        assert all("healthcheck" in services[name] for name in service["depends_on"])
    (other,) = re.findall(r"UMBEL_BROKER_URL=(\S+)", file.read_text())
    (rabbit,) = amqp_addresses(other)
    assert (rabbit.host, rabbit.vhost) == ("rabbitmq", "/")
    assert "--appendonly yes --appendfsync always" in " ".join(services["redis"]["command"])
