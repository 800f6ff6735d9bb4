"""Frequent queries stay cheap with 100,000 runs, measured by SQLite and PostgreSQL themselves."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.engine.scaled import DATABASE, KEYS, new_database, url_of
from tests.forks import run_python

COUNT = 100_000
# Steps of SQLite's machine, and rows that PostgreSQL touched. To look at every run takes at least 500,000 and 100,000.
MOST = {"sqlite": 60_000, "postgresql": 4_000}
# The index that each must use, and that it is sought in, not read from its beginning.
SOUGHT = {
    "page: all": "run_newest",
    "page: of a job": "run_of_job_newest",
    "page: failed": "run_by_status_newest",
    "list: failed": "run_by_status_newest",
    "list: since": "run_newest",
    "list: host, of which there is none": "run_of_host_newest",
    "list: language, of which there is none": "run_of_language_newest",
    "list: reason": "run_by_reason_newest",
    "list: reason, of which there is none": "run_by_reason_newest",
    "list: trigger, of which there is none": "run_by_trigger_newest",
    "list: user, of which there is none": "run_by_user_newest",
    "list: of a member of another project": "run_of_project_newest",
    "list, deep: job": "run_of_job_newest",
    "list, deep: job, failed": "run_by_status_newest",
    "reruns of a run": "run_of_parent",
    "retention: logs by number": "run_log_of_job",
    "timed: unsealed logs": "run_log_unsealed",
    "timed: runs to clean": "run_not_clean",
    "timed: runs to clean, the last hour": "run_not_clean",
    "retention: keys": "run_with_key",
}


def _asked(folder: Path, **settings: str) -> dict[str, Any]:
    plain = {name: value for name, value in os.environ.items() if not name.startswith("CRONIUM_")}
    environment = {**plain, "CRONIUM_DATA_DIR": str(folder), "DJANGO_SETTINGS_MODULE": "cronium_admin.settings"}
    done = run_python(("-m", "tests.engine.planned", str(COUNT)), environment | settings)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def found(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("plans")
    if request.param == "sqlite":
        return request.param, _asked(folder)
    if not DATABASE:
        pytest.skip('needs eval "$(scripts/services.sh ensure)"')
    with new_database() as name:
        return request.param, _asked(folder, CRONIUM_DATABASE_URL=url_of(name), **KEYS)


def test_nothing_that_is_asked_again_and_again_looks_at_all_runs(found: tuple[str, dict[str, Any]]) -> None:
    vendor, asked = found
    dear = {name: told for name, told in asked.items() if told["work"] > MOST[vendor]}
    assert not dear


def test_each_seeks_in_its_index(found: tuple[str, dict[str, Any]]) -> None:
    vendor, asked = found
    for name, index in SOUGHT.items():
        plans = asked[name]["plans"]
        assert any(index in plan for plan in plans), (name, plans)
        if name.startswith("page"):
            seek = "created_at<" if vendor == "sqlite" else "created_at <="
            assert any(index in plan and seek in plan for plan in plans), (name, plans)
        assert not any(plan.startswith(("Seq Scan runs_run", "SCAN runs_run")) and index not in plan for plan in plans)
