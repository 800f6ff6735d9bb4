"""Answers requests of pages through Django, without the HTTP server, for `bench.pages`.

python -m bench.page_server JOBS RUNS

Fills the database of its environment, prints the names of the pages as JSON, then for each name on standard input the
milliseconds and queries of one request.
"""

import json
import os
import sys
import time
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cronium_admin.settings")
django.setup()

from django.conf import settings  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import connection  # noqa: E402
from django.test import Client  # noqa: E402

from bench.page_rows import fill_rows  # noqa: E402
from cronium_admin.accounts.models import ApiToken, User  # noqa: E402
from cronium_admin.home.tallies import clear_tallies  # noqa: E402

OF_MEMBERS = {
    "home": "/",
    "home, not cached": "/",
    "home: refresh": "/home/now/",
    "jobs": "/jobs/",
    "runs": "/runs/",
    "runs: failed": "/runs/?status=failed",
    "runs: host rare": "/runs/?host=rare",
    "palette": "/palette/entries/",
    "palette: job": "/palette/entries/?q=job",
}
PAGES = {
    "home": "/",
    "home: refresh": "/home/now/",
    "home, not cached": "/",
    "home: refresh, not cached": "/home/now/",
    "home: figures": "/home/figures/part/",
    "home: figures, not cached": "/home/figures/part/",
    "jobs": "/jobs/",
    **{f"jobs: sort {name}": f"/jobs/?sort={name}" for name in ("name", "last", "duration", "success")},
    **{f"jobs: state {name}": f"/jobs/?state={name}" for name in ("failing", "ok", "running", "never", "disabled")},
    "jobs: q=job": "/jobs/?q=job",
    "jobs: q=csv, in all scripts": "/jobs/?q=csv",
    "jobs: q=absent": "/jobs/?q=absent",
    "jobs: q=job 77": "/jobs/?q=job+77",
    "jobs: tag nightly": "/jobs/?tag=nightly",
    "jobs: tag rare": "/jobs/?tag=rare",
    "jobs: language node, rare": "/jobs/?language=node",
    "jobs: project south": "/jobs/?project=south",
    "jobs: mine": "/jobs/?mine=true",
    "jobs: pinned": "/jobs/?pinned=true",
    "jobs: rows": "/job-rows/?q=job+7",
    "jobs: live cells": "/job-states/?id={id}",
    "runs": "/runs/",
    "runs: rows": "/runs/rows/",
    "runs: number in the frame": "/runs/count/",
    "runs: failed": "/runs/?status=failed",
    "runs: live": "/runs/?status=live",
    "runs: lost, none": "/runs/?status=lost",
    "runs: reason oom, rare": "/runs/?reason=oom",
    "runs: reason tampered, none": "/runs/?reason=tampered",
    "runs: trigger schedule": "/runs/?trigger=schedule",
    "runs: trigger webhook, rare": "/runs/?trigger=webhook",
    "runs: trigger mcp, none": "/runs/?trigger=mcp",
    "runs: by bench": "/runs/?by=bench",
    "runs: by other, rare": "/runs/?by=other",
    "runs: by member, none": "/runs/?by=member",
    "runs: host local": "/runs/?host=local",
    "runs: host rare": "/runs/?host=rare",
    "runs: host none": "/runs/?host=none",
    "runs: language bash": "/runs/?language=bash",
    "runs: language node, rare": "/runs/?language=node",
    "runs: language python, none": "/runs/?language=python",
    "runs: input region=eu": "/runs/?input.region=eu",
    "runs: input region=rare": "/runs/?input.region=rare",
    "runs: input region=none": "/runs/?input.region=none",
    "runs: job": "/runs/?job={job}",
    "runs: tag nightly": "/runs/?tag=nightly",
    "runs: tag rare": "/runs/?tag=rare",
    "runs: project south": "/runs/?project=south",
    "runs: period 1h": "/runs/?period=1h",
    "runs: period 30d": "/runs/?period=30d",
    "runs: until long ago": "/runs/?until=2020-01-01T00:00:00Z",
    "runs: failed, host rare": "/runs/?status=failed&host=rare",
    "runs: job options": "/runs/job-options/?job=job+7",
    "search": "/runs/search/?q=rows",
    "search: rows, in all": "/runs/search/results/?q=rows",
    "search: absent": "/runs/search/results/?q=absent",
    "search: host rare": "/runs/search/results/?q=rows&host=rare",
    "search: language python, none": "/runs/search/results/?q=rows&language=python",
    "palette": "/palette/entries/",
    "palette: job": "/palette/entries/?q=job",
    "palette: absent": "/palette/entries/?q=absent",
    "palette: #3": "/palette/entries/?q=%233",
    "palette: #7777, none": "/palette/entries/?q=%237777",
    "palette: job 7 #3": "/palette/entries/?q=job+7+%233",
    "palette: run job 7": "/palette/entries/?q=run+job+7",
    "job page": "/jobs/{job}/",
    "job page: runs": "/jobs/{job}/runs/",
    "job page: settings": "/jobs/{job}/settings/",
    "run page": "/runs/{run}/",
    "API: jobs": "/api/v1/jobs",
    "API: runs": "/api/v1/runs",
    "API: runs, host rare": "/api/v1/runs?host=rare",
    **{f"{kind}: {name}": path for kind in ("member", "member of two") for name, path in OF_MEMBERS.items()},
}


# SQLite works in this process, so its CPU time counts, which other work on the machine changes little.
_read_clock = time.process_time if connection.vendor == "sqlite" else time.perf_counter


class Timer:
    """Wraps the execution of queries."""

    def __init__(self) -> None:
        self.number, self.slowest, self.slowest_ms = 0, "", 0.0

    def __call__(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        began = _read_clock()
        try:
            return execute(sql, params, many, context)
        finally:
            took = 1000 * (_read_clock() - began)
            self.number += 1
            if took > self.slowest_ms:
                self.slowest, self.slowest_ms = _shorten(sql), took


def _shorten(sql: str) -> str:
    selected, _, rest = sql.partition(" FROM ")
    return (f"{selected[:20]}… FROM {rest}" if rest else sql).replace('"', "")[:230]


def _time_page(client: Client, name: str, path: str) -> dict[str, Any]:
    if "not cached" in name:
        clear_tallies()
    timer = Timer()
    with connection.execute_wrapper(timer):
        began = _read_clock()
        answer = client.get(path)
        took = 1000 * (_read_clock() - began)
    assert answer.status_code == 200, (path, answer.status_code)
    return {"ms": took, "queries": timer.number, "slowest": timer.slowest, "slowest_ms": timer.slowest_ms}


def main(jobs: int, runs: int) -> None:
    settings.STORAGES["staticfiles"] = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    settings.ALLOWED_HOSTS = ["*"]
    settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if "ServeStatic" not in name]
    call_command("migrate", verbosity=0)
    names = fill_rows(jobs, runs)
    admin, member = User.objects.get(username="bench"), User.objects.get(username="member")
    headers = {"Authorization": f"Bearer {ApiToken.mint(admin, 'bench')[1]}"}
    clients = {"admin": Client(), "member": Client(), "API": Client(headers=headers)}
    clients["admin"].force_login(admin)
    clients["member"].force_login(member)
    clients["member of two"] = Client()
    clients["member of two"].force_login(User.objects.get(username="of-two"))
    print(json.dumps(list(PAGES)), flush=True)
    for line in sys.stdin:
        name = line.strip()
        kind = name.partition(":")[0]
        print(
            json.dumps(_time_page(clients.get(kind, clients["admin"]), name, PAGES[name].format(**names))), flush=True
        )


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
