"""The server's JSON log: messages that Python itself writes, and the run that a line belongs to."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from cronium_admin.ops import middleware
from cronium_admin.runs.models import Run
from cronium_admin.workers.database_threads import DatabaseThreads
from executor import log_context
from tests.conftest import Api

ROOT = Path(__file__).resolve().parent.parent.parent
# In a separate process: it changes how Python handles uncaught errors.
PROGRAM = """
import logging, threading, warnings
import django
django.setup()
logging.getLogger("cronium.test").warning("two\\nlines \\u2028 and a %s", "surrogate \\udcff")
warnings.warn("beware", stacklevel=1)
try: raise ValueError("bad host")
except ValueError as error: logging.getLogger("django.security.DisallowedHost").error("refused", exc_info=error)
def fail(): raise ValueError("in a thread")
thread = threading.Thread(target=fail, name="worker-7")
thread.start(); thread.join()
raise KeyError("at the end")
"""


def test_what_python_writes_by_itself_is_a_line_of_json_too(tmp_path: Path) -> None:
    env = {"DJANGO_SETTINGS_MODULE": "cronium_admin.settings", "CRONIUM_LOG_FORMAT": "json", "PATH": ""}
    env |= {"CRONIUM_DATA_DIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=env, capture_output=True, timeout=60)
    assert (done.returncode, done.stdout) == (1, b"")
    lines = [json.loads(line) for line in done.stderr.decode().split("\n") if line]
    assert [line["level"] for line in lines] == ["WARNING", "WARNING", "ERROR", "ERROR", "CRITICAL"]
    assert lines[0]["message"].startswith("two\nlines")
    assert "beware" in lines[1]["message"]
    assert lines[2]["message"] == "refused"
    assert "exception" not in lines[2]  # a stranger's bad request is no fault of the code
    assert "worker-7" in lines[3]["message"]
    assert "ValueError: in a thread" in lines[3]["exception"]
    assert "KeyError" in lines[4]["exception"]


def test_the_threads_of_a_run_and_the_database_threads_they_use_know_it(db: None) -> None:
    seen: list[str] = []
    database = DatabaseThreads(1)

    def work() -> None:
        seen.append(database.call(log_context.run_id.get))

    thread = log_context.make_thread("run-1", "log", work)
    thread.start()
    thread.join()
    seen.append(database.call(log_context.run_id.get))
    database.close()
    assert seen == ["run-1", ""]


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The extra fields that the access log was given."""
    found: list[dict[str, Any]] = []
    monkeypatch.setattr(middleware.log, "log", lambda *args, extra: found.append(extra))
    return found


@pytest.mark.parametrize("path", ["/api/v1/runs/{}", "/api/v1/runs/{}/waiting", "/runs/{}/", "/hosts/waiting/{}/"])
def test_a_request_about_a_run_names_it(
    viewer: Api, client: Client, run: Run, told: list[dict[str, Any]], path: str
) -> None:
    client.get(path.format(run.pk), headers=viewer.headers)
    assert told[-1]["run_id"] == str(run.pk)


def test_another_request_names_none(
    viewer: Api, run: Run, make_job: Callable[..., Any], told: list[dict[str, Any]]
) -> None:
    viewer.get("/runs")
    viewer.get("/there/is/nothing")
    assert [one["run_id"] for one in told] == ["", ""]
