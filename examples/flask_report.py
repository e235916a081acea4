"""A Flask page that starts a report and follows it.

pip install 'umbel[flask]'
flask --app flask_report run, and in another terminal umbel -A flask_report worker
"""

import os
import time

from flask import Flask

from umbel import Umbel, progress, track
from umbel.contrib.flask import Progress

app = Umbel("flask_report")
site = Flask(__name__)
tasks = Progress(app, secret=os.environ.get("SECRET", "change me: a long text that nobody can guess"))
site.register_blueprint(tasks.blueprint, url_prefix="/umbel")


@app.task(name="report")
def make_report(pages: int) -> int:
    for _ in track(range(pages), unit="pages", message="Writing"):
        time.sleep(0.2)
    return progress.finish(f"The report has {pages} pages", value=pages)


@site.get("/")
def page() -> str:
    ticket = tasks.ticket(make_report.delay(20), can=("cancel",))
    return f"""<!doctype html><title>Report</title>
<script type="module" src="/umbel/umbel-progress.js"></script>
<umbel-progress task="{ticket}" base="/umbel/" label="Report" cancel></umbel-progress>"""


def create_app() -> Flask:
    """What ``flask --app flask_report`` looks for first: ``app`` is the queue's name here."""
    return site
