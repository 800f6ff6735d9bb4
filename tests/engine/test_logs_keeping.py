"""Retention and archive on PostgreSQL: the unit tests again, and processes that are killed at any statement.

The bucket is in moto's stand-in server: see tests/fakes/s3.
"""

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.engine.scaled import needs_services, new_database, url_of
from tests.engine.server import ROOT, environment, manage
from tests.fakes import s3

pytestmark = needs_services
RUNS = 12
BEGIN = "import django, json, hashlib, datetime; django.setup(); "
FILL = (
    BEGIN
    + f"""
from cronium_admin.jobs.models import Job
from cronium_admin.profiles.models import Profile
from cronium_admin.runs.launch import launch
from tests.unit.log_storage import give_log, text_of
from tests.users import get_admin
job = Job.objects.create(name="Many", slug="many", language="bash", script="true", profile=Profile.objects.first())
for seed in range({RUNS}):
    give_log(launch(job, get_admin()), text_of(1500, seed), 3, datetime.timedelta(days=9))
"""
)
# A management command that is killed at a given statement to the database, before or after it.
MORTAL = (
    BEGIN
    + """
import os, signal, sys
from django.core.management import call_command
from django.db.backends.signals import connection_created
number, when, *command = sys.argv[1:]
left = int(number)
def count(execute, *arguments):
    global left
    left -= 1
    if left == 0 and when == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    found = execute(*arguments)
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return found
def watch(connection, **more):
    connection.execute_wrappers.append(count)
connection_created.connect(watch)
call_command(*command)
"""
)
# All logs need about 990 statements to be archived and 160 to be removed: two processes that are killed at these have
# done something, and after four rounds, or three, there is something left.
AMID_ARCHIVE, AMID_PRUNE = range(90, 118), range(12, 24)
LOOK = (
    BEGIN
    + """
from cronium_admin.logs import read
from cronium_admin.logs.models import *
from cronium_admin.runs.models import Run
said = {"right": 0, "wrong": 0, "pruned": 0}
for run in Run.objects.all():
    if run.log_pruned_at:
        said["pruned"] += 1
    else:
        right = hashlib.sha256(b"".join(read.read_text(run.pk))).hexdigest() == run.log_digest
        said["right" if right else "wrong"] += 1
said |= {"chunks": LogChunk.objects.count(), "heads": LogHead.objects.count(), "objects": LogObject.objects.count()}
said["in_database"] = LogChunk.objects.filter(object_offset=None).count()
print(json.dumps(said))
"""
)


@pytest.fixture
def database() -> Iterator[str]:
    with new_database() as name:
        yield name
        # Drops the databases that the tests created.
        admin = url_of("postgres")
        with psycopg.connect(admin, autocommit=True) as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "test_{name}" WITH (FORCE)')  # type: ignore[arg-type]


class World:
    """A database with many logs, a bucket, and maintenance processes."""

    def __init__(self, folder: Path, database: str, service: s3.Service) -> None:
        keys = {"CRONIUM_LOG_S3_ACCESS_KEY": "for-tests", "CRONIUM_LOG_S3_SECRET_KEY": "for-tests-only"}
        place = {"CRONIUM_LOG_STORAGE": f"s3://{s3.BUCKET}/logs", "CRONIUM_LOG_S3_ENDPOINT": service.endpoint}
        more = {"CRONIUM_DATABASE_URL": url_of(database), "CRONIUM_LOG_KEEP_DAYS": "0", "PYTHONPATH": str(ROOT)}
        settings = {"DJANGO_SETTINGS_MODULE": "cronium_admin.settings", "CRONIUM_LOG_LEVEL": "ERROR"}
        self.env = environment(folder, **keys, **place, **more, **settings)
        self.url = url_of(database)
        manage(self.env, "migrate", "-v", "0")
        self.python(FILL)

    def python(self, code: str) -> str:
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=self.env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def look(self) -> dict[str, Any]:
        return dict(json.loads(self.python(LOOK)))

    def kill_amid(self, rng: random.Random, statements: range, *command: str) -> None:
        """Runs two processes at once, and kills each at one of these statements."""
        call = [sys.executable, "-c", MORTAL]
        words = [[str(rng.choice(statements)), rng.choice(["before", "after"]), *command] for _ in range(2)]
        started = [subprocess.Popen([*call, *one], cwd=ROOT, env=self.env, stdout=subprocess.DEVNULL) for one in words]
        assert [process.wait(300) for process in started] == [-signal.SIGKILL] * 2, words

    def end_claims(self) -> None:
        """Expires all claims, as the time would."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("UPDATE logs_logobject SET claimed_until = now() - interval '1 hour'")


def test_logs_are_whole_whenever_the_processes_that_move_and_remove_them_are_killed(
    database: str, tmp_path: Path
) -> None:
    rng = random.Random(os.environ.get("CRONIUM_TEST_SEED", "1"))
    with s3.service() as service:
        world = World(tmp_path, database, service)
        for _ in range(4):
            world.kill_amid(rng, AMID_ARCHIVE, "logs", "archive")
            seen = world.look()
            assert (seen["right"], seen["wrong"]) == (RUNS, 0), seen
            assert 0 < seen["in_database"] < seen["chunks"], "killed too early or too late to show anything"
            world.end_claims()
        manage(world.env, "logs", "archive")
        seen = world.look()
        assert (seen["right"], seen["in_database"], seen["objects"]) == (RUNS, 0, RUNS), seen
        assert len(service.keys()) == RUNS
        world.env |= {"CRONIUM_LOG_KEEP_DAYS": "5"}
        for _ in range(3):
            world.kill_amid(rng, AMID_PRUNE, "logs", "prune")
            seen = world.look()
            assert (seen["right"] + seen["pruned"], seen["wrong"]) == (RUNS, 0), seen
            assert 0 < seen["pruned"] < RUNS, "killed too early or too late to show anything"
        manage(world.env, "logs", "prune")
        seen = world.look()
        assert seen == {"right": 0, "wrong": 0, "pruned": RUNS, "chunks": 0, "heads": 0, "objects": 0, "in_database": 0}
        assert service.keys() == []
