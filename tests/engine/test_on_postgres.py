"""Runs tests that depend on the database's locks and snapshots in a separate session on PostgreSQL."""

import os
import subprocess
import sys

import pytest

from tests.engine.scaled import DATABASE, KEYS, new_database, url_of
from tests.engine.server import ROOT

pytestmark = pytest.mark.skipif(not DATABASE, reason='needs eval "$(scripts/services.sh ensure)"')
UPGRADES = "unit/test_revisions_upgrade.py"
FILES = [
    *("unit/test_lease.py", "unit/test_outbox.py", "unit/test_transitions.py", "engine/outbox_on_postgres.py"),
    "unit/test_job_health.py",
    *(
        "engine/claims_on_postgres.py",
        "engine/limits_on_postgres.py",
        "engine/lock_order_on_postgres.py",
        "unit/test_admission.py",
        "unit/test_warm_rows.py",
    ),
    *("engine/retries_on_postgres.py", "unit/retries/test_attempts.py", "unit/retries/test_schedules.py"),
    *("engine/expectations_on_postgres.py", "unit/expectations/test_judge.py", "unit/expectations/test_pings.py"),
    *("engine/schedules_on_postgres.py", "unit/schedules/test_firing.py", "unit/schedules/test_delayed.py"),
    *("unit/schedules/test_rounds.py", "unit/test_clock_steps.py"),
    *("unit/schedules/test_calendars.py", "unit/schedules/test_starts.py"),
    *("unit/test_compiled_query.py", "unit/test_upsert.py", "unit/test_logs_store.py"),
    *("unit/test_revisions_races.py", f"{UPGRADES}::test_every_value_of_every_run_stays"),
    *("unit/test_logs_prune.py", "unit/test_logs_archive.py", "unit/test_logs_s3.py"),
]


@pytest.mark.timeout(1500)
@pytest.mark.parametrize("files", [FILES, pytest.param([UPGRADES], marks=pytest.mark.chaos)], ids=["files", "upgrades"])
def test_they_pass_on_postgresql(files: list[str]) -> None:
    """One session, so that the database is migrated once."""
    plain = {key: value for key, value in os.environ.items() if not key.startswith(("CRONIUM_", "PYTEST_"))}
    paths = [f"tests/{file}" for file in files]
    with new_database() as database:  # pytest makes and drops its own beside it
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--timeout=300", *paths],
            env={**plain, "CRONIUM_DATABASE_URL": url_of(database), **KEYS},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            timeout=1400,
        )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert " passed" in done.stdout
