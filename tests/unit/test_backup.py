"""Backup and restore on SQLite: contents of the file, refusals, and crashes at any step, which lose nothing."""

import gzip
import io
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tarfile
from contextlib import closing
from pathlib import Path

import pytest

from cronium_admin.backup.identity import RESTORED, build_copy_statements
from cronium_admin.backup.own_tables import list_created_tables
from tests.forks import run_python
from tests.prepared import copy_database

pytestmark = pytest.mark.long
ROOT = Path(__file__).parents[2]
SEED = """
from cronium_admin.accounts.models import User
from cronium_admin.core.lease import acquire_lease
from cronium_admin.jobs.service import create_job
from cronium_admin.runs.models import Run
from cronium_admin.runs.launch import launch
from cronium_admin.runs.outbox import register_consumer
from cronium_admin.secrets.crypto import encrypt
from cronium_admin.schedules.models import Heartbeat, Schedule
from cronium_admin.schedules.service import create_schedule
from cronium_admin.secrets.models import Secret
from cronium_admin.workers.instance import get_instance_id
from cronium_admin.workers.hosts.models import Host
from tests.users import get_admin
job = create_job({"name": "A", "slug": "a", "language": "bash", "script": "true"}, get_admin())
register_consumer("mail")
for status in ("succeeded", "running", "starting", "queued"):
    run = launch(job, get_admin())
    Run.objects.filter(pk=run.pk).update(status=status, host="local", lease_owner="x")
Secret.objects.create(name="KEY", encrypted=encrypt("KEY", "value"))
Host.objects.create(name="local", owner="x")
acquire_lease("sweep", "x", 3600)
values = {"name": "hourly", "rule": "0 * * * *", "missed": "all", "missed_within_seconds": 864000}
create_schedule(job, values, get_admin())
long_ago = "2026-01-01T00:00Z"
Schedule.objects.update(cursor_at=long_ago, next_at="2026-01-01T01:00Z", due_at="2026-01-01T01:00Z")
Heartbeat.objects.create(pk=1, ticked_at=long_ago)
get_instance_id()
"""
# Two ticks of the schedules; prints the rows of the ledger, the runs of schedules, and the schedules with a next time.
TICKS = """
from cronium_admin.core.database.clock import database_now
from cronium_admin.runs.models import Run
from cronium_admin.schedules.firing import record_tick
from cronium_admin.schedules.rounds import fire_due
from cronium_admin.schedules.models import Occurrence, Schedule
for _ in range(2):
    fire_due(record_tick())
counts = (Occurrence.objects.count(), Run.objects.exclude(trigger="api").count())
print("ticks:", *counts, Schedule.objects.filter(next_at__gt=database_now()).count())
"""
# Restores again and again, and dies at the first, second, ... step that changes a file; then finishes.
DEATHS = """
import os, sys
import django
django.setup()
from pathlib import Path
from django.conf import settings
from django.db import connection
from cronium_admin.accounts.models import User
from cronium_admin.backup import restore as module
from cronium_admin.jobs.models import Job
from cronium_admin.runs.models import Run
from cronium_admin.secrets.crypto import decrypt
from cronium_admin.secrets.models import Secret

real, died, step = os.replace, True, 0
while died:
    step += 1
    left = [step]

    def dying(*given):
        left[0] -= 1
        if left[0] == 0:
            raise KeyboardInterrupt
        return real(*given)

    os.replace, died = dying, False
    try:
        module.restore_backup(Path(sys.argv[1]), replace=True)
    except KeyboardInterrupt:
        died = True
    os.replace = real
    connection.close()
    begun = (settings.DATA_DIR / module.PENDING_FILE).exists()
    module.finish_restore()
    assert not (settings.DATA_DIR / module.PENDING_FILE).exists()
    secret = Secret.objects.get()
    assert decrypt("KEY", secret.encrypted) == "value", step
    assert Run.objects.filter(status="lost").count() == (0 if died and step == 1 else 2), (step, begun)
    connection.close()
    print(step, begun)
"""


def environment(folder: Path) -> dict[str, str]:
    plain = {name: value for name, value in os.environ.items() if not name.startswith("CRONIUM_")}
    return {**plain, "CRONIUM_DATA_DIR": str(folder), "DJANGO_SETTINGS_MODULE": "cronium_admin.settings"}


def manage(folder: Path, *arguments: str, fails: bool = False) -> str:
    done = run_python(("manage.py", *arguments), environment(folder), umask=0o022)
    assert (done.returncode != 0) is fails, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr if fails else done.stdout


@pytest.fixture(scope="module")
def original(migrated: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("original")
    copy_database(migrated, folder)
    manage(folder, "shell", "-v0", "-c", SEED)
    return folder


@pytest.fixture(scope="module")
def saved(original: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("backups") / "cronium.backup"
    manage(original, "backup", str(path))
    return path


def rows(folder: Path, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(folder / "cronium.sqlite3")) as database:
        return database.execute(query).fetchall()


def test_a_backup_is_its_owners_alone_and_overwrites_nothing(original: Path, saved: Path) -> None:
    assert saved.stat().st_mode & 0o777 == 0o600
    assert [one.name for one in saved.parent.iterdir()] == [saved.name], "nothing is left beside it"
    before = saved.read_bytes()
    assert "already exists" in manage(original, "backup", str(saved), fails=True)
    assert saved.read_bytes() == before
    assert "no folder" in manage(original, "backup", "/nowhere/x", fails=True)


def test_a_restored_copy_has_all_but_what_belongs_to_the_original(original: Path, saved: Path, tmp_path: Path) -> None:
    assert "copy has a new identity" in manage(tmp_path, "restore", str(saved))
    assert rows(tmp_path, "SELECT status, reason FROM runs_run ORDER BY number") == [
        ("succeeded", ""),
        ("lost", "restored"),
        ("lost", "restored"),
        ("cancelled", "restored"),
    ]
    assert rows(tmp_path, "SELECT owner FROM hosts_host") == [("",)]
    assert rows(original, "SELECT owner FROM hosts_host") == [("x",)]
    assert rows(tmp_path, "SELECT owner, lease_expires_at FROM core_lease") == [("", None)]
    assert rows(original, "SELECT owner FROM core_lease") == [("x",)]
    assert rows(tmp_path, "SELECT count(*) FROM runs_outboxevent") == [(0,)]
    assert rows(tmp_path, "SELECT name FROM runs_outboxconsumer") == [("mail",)]
    assert (tmp_path / "secret_key").read_text() == (original / "secret_key").read_text()
    assert (tmp_path / "encryption_key").read_text() == (original / "encryption_key").read_text()
    assert (tmp_path / "instance_id").read_text() != (original / "instance_id").read_text()
    assert not [one for one in tmp_path.iterdir() if one.name.startswith("restore")]
    for name in ("cronium.sqlite3", "secret_key", "encryption_key", "instance_id"):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600
    manage(tmp_path, "migrate", "--check")


def test_a_copy_of_an_older_version_is_settled_without_the_tables_that_it_lacks(original: Path) -> None:
    applied = [f"{app}.{name}" for app, name in rows(original, "SELECT app, name FROM django_migrations")]
    assert any("core_lease" in statement for statement in build_copy_statements("id", RESTORED, applied))
    older = [name for name in applied if not name.startswith("core.")]
    assert not any("core_lease" in statement for statement in build_copy_statements("id", RESTORED, older))


SCHEDULES = "SELECT enabled, problem != '', cursor_at > datetime('now', '-1 hour') FROM schedules_schedule"


def test_a_copy_has_its_schedules_disabled_and_runs_nothing_of_the_past(saved: Path, tmp_path: Path) -> None:
    manage(tmp_path, "restore", str(saved))
    assert rows(tmp_path, SCHEDULES) == [(0, 1, 1)]
    assert "this installation is a copy" in str(rows(tmp_path, "SELECT problem FROM schedules_schedule"))
    assert "ticks: 0 0 0" in manage(tmp_path, "shell", "-v0", "-c", TICKS)


def test_taken_over_the_schedules_go_on_from_now(original: Path, saved: Path, tmp_path: Path) -> None:
    manage(tmp_path, "restore", "--take-over", str(saved))
    assert rows(tmp_path, SCHEDULES) == [(1, 0, 1)]
    assert "ticks: 0 0 1" in manage(tmp_path, "shell", "-v0", "-c", TICKS)
    assert rows(original, SCHEDULES) == [(1, 0, 0)], "the original is not changed"


def test_a_copy_from_before_schedules_is_settled_without_them(original: Path) -> None:
    applied = [f"{app}.{name}" for app, name in rows(original, "SELECT app, name FROM django_migrations")]
    of_schedules = [sql for sql in build_copy_statements("id", RESTORED, applied) if "schedules_" in sql]
    assert len(of_schedules) == 3
    older = [name for name in applied if not name.startswith("schedules.")]
    assert not any("schedules_" in sql for sql in build_copy_statements("id", RESTORED, older))


def test_the_tables_of_all_migrations_are_all_tables(original: Path) -> None:
    applied = [f"{app}.{name}" for app, name in rows(original, "SELECT app, name FROM django_migrations")]
    tables = rows(original, "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
    assert list_created_tables(applied) == {name for (name,) in tables}
    assert list_created_tables(["jobs.0001_initial", "later.0001_initial"]) >= {"jobs_job", "django_migrations"}
    assert "runs_run" not in list_created_tables(["jobs.0001_initial"])


def test_taken_over_it_is_the_original_again(original: Path, saved: Path, tmp_path: Path) -> None:
    manage(tmp_path, "restore", "--take-over", str(saved))
    assert (tmp_path / "instance_id").read_text() == (original / "instance_id").read_text()
    assert rows(tmp_path, "SELECT status FROM runs_run ORDER BY number") == [
        ("succeeded",), ("running",), ("starting",), ("queued",),
    ]  # fmt: skip
    assert rows(tmp_path, "SELECT count(*) FROM runs_outboxevent") == [(4,)]


def test_what_is_not_empty_is_refused_unless_told_and_kept_aside(original: Path, saved: Path, tmp_path: Path) -> None:
    shutil.copytree(original, tmp_path / "other")
    other = tmp_path / "other"
    assert "is not empty" in manage(other, "restore", str(saved), fails=True)
    assert rows(other, "SELECT count(*) FROM runs_run WHERE status = 'lost'") == [(0,)]
    manage(other, "restore", "--replace", str(saved))
    assert rows(other, "SELECT count(*) FROM runs_run WHERE status = 'lost'") == [(2,)]
    aside = next(one for one in other.iterdir() if one.name.startswith("before-restore-"))
    assert {"cronium.sqlite3", "secret_key"} <= {one.name for one in aside.iterdir()}


def _changed(saved: Path, to: Path, **facts: object) -> Path:
    """The same backup with a changed manifest."""
    with tarfile.open(saved) as old, tarfile.open(to, "w:gz") as new:
        for info in old:
            data = old.extractfile(info).read()  # type: ignore[union-attr]
            if info.name == "manifest.json":
                data = json.dumps({**json.loads(data), **facts}).encode()
                info.size = len(data)
            new.addfile(info, io.BytesIO(data))
    return to


def test_what_is_no_whole_backup_of_this_version_is_refused_and_changes_nothing(saved: Path, tmp_path: Path) -> None:
    folder, bad = tmp_path / "data", tmp_path / "bad"
    folder.mkdir()
    whole = saved.read_bytes()
    spoiled = bytearray(gzip.decompress(whole))
    spoiled[spoiled.index(b"SQLite format 3")] ^= 1
    cases = {
        "There is no file": None,
        "is damaged or not a backup": b"nothing",
        "is damaged": whole[: len(whole) // 2],
        "differs from the manifest": gzip.compress(bytes(spoiled), 1),
    }
    for words, data in cases.items():
        if data is not None:
            bad.write_bytes(data)
        assert words in manage(folder, "restore", str(bad), fails=True), words
    manifests = {
        "created by a newer Cronium (9.0; it has jobs.9999_later)": {
            "version": "9.0",
            "migrations": ["jobs.9999_later"],
        },
        "The backup is of PostgreSQL": {"vendor": "postgresql"},
        "has the format 2": {"format": 2},
        "which its manifest does not list": {"members": {}},
    }
    for words, facts in manifests.items():
        assert words in manage(folder, "restore", str(_changed(saved, bad, **facts)), fails=True), words
    kept = {one.name for one in folder.iterdir()}
    assert not kept & {"restore.pending", "encryption_key", "instance_id"}, kept
    assert not [name for name in kept if name.startswith(("restore-", "before-"))], kept


def test_a_death_at_any_step_is_finished_and_no_half_is_ever_used(original: Path, saved: Path, tmp_path: Path) -> None:
    shutil.copytree(original, tmp_path / "data")
    command = [sys.executable, "-c", DEATHS, str(saved)]
    done = subprocess.run(
        command, cwd=ROOT, env=environment(tmp_path / "data"), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    steps = done.stdout.splitlines()
    assert len(steps) > 6
    assert steps[1].endswith("True")
