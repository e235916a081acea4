"""Runs inside an environment of Celery: does what its standard input says, a line of JSON for each piece of code.

Answers each with a line of JSON: ``{"value": …}``, of the last expression, or ``{"error": [type, text]}``.
"""

import ast
import json
import sys
import time
from typing import Any

import celery  # type: ignore[import-not-found, import-untyped, unused-ignore]
import deeds  # type: ignore[import-not-found, unused-ignore]
import kombu  # type: ignore[import-not-found, import-untyped, unused-ignore]

names: dict[str, Any] = {**vars(celery), **vars(deeds), "kombu": kombu, "time": time, "celery": celery}
names.update({name: getattr(celery, name) for name in ("chain", "group", "chord", "signature")})
names["results"] = {}


def shown(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else repr(value)


def main() -> None:
    for line in sys.stdin:
        tree = ast.parse(json.loads(line))
        last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
        try:
            exec(compile(tree, "told", "exec"), names)
            value = eval(compile(ast.Expression(last.value), "told", "eval"), names) if last is not None else None
            answer = {"value": value}
        except Exception as error:  # noqa: BLE001  the one who asked is told
            answer = {"error": [type(error).__name__, str(error)]}
        sys.stdout.write(f"{json.dumps(answer, default=shown)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
