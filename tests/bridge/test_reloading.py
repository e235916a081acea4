"""Django's development server, which starts anew when a file changes."""

from __future__ import annotations

import re
import threading
from http.client import HTTPException

import pytest

from tests.bridge.conftest import Program
from tests.bridge.test_forks import asker
from tests.worker.process import wait_until
from tools.ports import free_port

SETTINGS = """
    import os

    SECRET_KEY = "none"
    DEBUG = True
    ALLOWED_HOSTS = ["*"]
    ROOT_URLCONF = "urls"
    INSTALLED_APPS = []
    DATABASES = {}
    USE_TZ = True
"""

URLS = """
    import os
    from django.http import JsonResponse
    from django.urls import path
    from shop import add, app

    VERSION = 1

    def call(request, x):
        return JsonResponse([VERSION, add.delay(x, x).get(timeout=60)], safe=False)

    async def acall(request, x):
        result = await add.adelay(x, x)
        return JsonResponse([VERSION, await result.aget(timeout=60)], safe=False)

    def wait(request):
        open("waiting", "w").close()
        return JsonResponse(app.result("never").get(), safe=False)

    urlpatterns = [
        path("up", lambda request: JsonResponse("up", safe=False)),
        path("call/<int:x>", call),
        path("acall/<int:x>", acall),
        path("wait", wait),
    ]
"""

MANAGE = """
    import os, sys
    from django.core.management import execute_from_command_line

    os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
    execute_from_command_line(sys.argv)
"""


def test_runserver_starts_anew_though_a_request_waits_and_calls_again(program: Program) -> None:
    for name, text in {"settings.py": SETTINGS, "urls.py": URLS, "manage.py": MANAGE}.items():
        program.write(name, text)
    port = free_port()
    program.start("-u", "manage.py", "runserver", f"127.0.0.1:{port}")
    ask = asker(port)
    assert ask("/call/20") == [1, 40]
    assert ask("/acall/21") == [1, 42]

    def wait_in_vain() -> None:
        with pytest.raises((OSError, HTTPException)):
            ask("/wait")

    waiting = threading.Thread(target=wait_in_vain)
    waiting.start()
    wait_until((program.folder / "waiting").exists)
    program.write("urls.py", URLS.replace("VERSION = 1", "VERSION = 2"))
    waiting.join()

    def renewed() -> bool:
        try:
            version, answer = ask("/call/20")
        except OSError:  # between the two
            return False
        assert answer == 40
        return bool(version == 2)

    wait_until(renewed)
    assert ask("/acall/21") == [2, 42]
    assert not re.search("Traceback|Warning:", program.text()), program.text()
