"""An app that notes the signals of its worker and its own, with the process; copied as ``shop.py``."""

import os
from pathlib import Path
from typing import Any

from umbel import Umbel, signals

HERE = Path(os.environ["SHOP_FOLDER"])
app = Umbel("shop", include=["more"])
(HERE / "more.py").write_text("import shop\nshop.note('imported')\n")


def note(line: str) -> None:
    with (HERE / "diary").open("a") as diary:
        diary.write(f"{line} {os.getpid()}\n")


def hear(signal: signals.Signal, sender: object, **arguments: Any) -> None:
    shown = [f"{name}={value}" for name, value in sorted(arguments.items()) if isinstance(value, (str, int))]
    note(" ".join([signal.name, str(sender).replace(" ", ""), *shown]))


for signal in [each for each in vars(signals).values() if isinstance(each, signals.Signal)]:
    if not signal.name.startswith(("task_", "setup_logging")):
        signal.connect(hear)
for signal in (app.on_configure, app.on_after_configure, app.on_after_finalize, app.on_after_fork):
    signal.connect(hear)


@signals.worker_starting.connect
def slower(conf: Any, options: Any, **arguments: Any) -> None:
    conf.task_track_started = True
    conf.worker_concurrency = 1
    raise LookupError(f"asked for {sorted(options)}")


@app.task
def add(x: int, y: int) -> int:
    note("add")
    return x + y


@app.task
def tracks() -> bool:
    return bool(app.conf.task_track_started)
