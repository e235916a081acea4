"""A FastAPI page that starts a report and follows it.

pip install 'umbel[fastapi,web]'
uvicorn fastapi_report:api, and in another terminal umbel -A fastapi_report worker
"""

import os
import time

from fastapi import FastAPI
from fastapi.responses import HTMLResponse

from umbel import Umbel, progress, track
from umbel.contrib.fastapi import Progress

app = Umbel("fastapi_report")
api = FastAPI()
tasks = Progress(app, secret=os.environ.get("SECRET", "change me: a long text that nobody can guess"))
api.include_router(tasks.router, prefix="/umbel")


@app.task(name="report")
def make_report(pages: int) -> int:
    for _ in track(range(pages), unit="pages", message="Writing"):
        time.sleep(0.2)
    return progress.finish(f"The report has {pages} pages", value=pages)


@api.get("/", response_class=HTMLResponse)
async def page() -> str:
    result = await make_report.adelay(20)
    ticket = tasks.ticket(result, can=("cancel",))
    return f"""<!doctype html><title>Report</title>
<script type="module" src="/umbel/umbel-progress.js"></script>
<umbel-progress task="{ticket}" base="/umbel/" label="Report" cancel></umbel-progress>"""
