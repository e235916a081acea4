"""A Django page that starts a report and follows it.

pip install 'umbel[django]'
python django_report.py runserver, or uvicorn django_report:asgi; in another terminal umbel -A django_report worker
"""

import os
import sys
import time
from typing import Any

import django
from django.conf import settings

if not settings.configured:  # in a site of yours these stand in settings.py
    key = os.environ.get("SECRET", "change me: a long text that nobody can guess")
    settings.configure(SECRET_KEY=key, ROOT_URLCONF=__name__, ALLOWED_HOSTS=["127.0.0.1", "localhost"], DEBUG=False)
    django.setup()

from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.urls import include, path

from umbel import Umbel, progress, track
from umbel.contrib.django import Progress

app = Umbel("django_report")
tasks = Progress(app)


@app.task(name="report")
def make_report(pages: int) -> int:
    for _ in track(range(pages), unit="pages", message="Writing"):
        time.sleep(0.2)
    return progress.finish(f"The report has {pages} pages", value=pages)


def page(request: Any) -> HttpResponse:
    ticket = tasks.ticket(make_report.delay(20), can=("cancel",))
    return HttpResponse(f"""<!doctype html><title>Report</title>
<script type="module" src="/umbel/umbel-progress.js"></script>
<umbel-progress task="{ticket}" base="/umbel/" label="Report" cancel></umbel-progress>""")


urlpatterns = [path("", page), path("umbel/", include((tasks.urls, "umbel")))]
asgi, wsgi = get_asgi_application(), get_wsgi_application()

if __name__ == "__main__":
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)
