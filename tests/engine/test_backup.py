"""A restore drill: beside the original, whose runs continue on the same engine; and on PostgreSQL."""

import json
import os
import shutil
import subprocess
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from cronium_admin.backup import bundle
from tests.engine.conftest import running
from tests.engine.scaled import DATABASE, KEYS, new_database, url_of
from tests.engine.server import GATE, Server, environment, manage

OTHER_POOL = "10.217.0.0/16"
LINES = "for n in $(seq 1 200); do echo line $n; done"


def test_a_restored_copy_leaves_the_originals_live_runs_alone(server: Server, tmp_path: Path) -> None:
    ended = server.run(LINES)
    assert server.ended(ended)["status"] == "succeeded"
    live = server.run(f"echo before; {GATE}; echo after", timeout_seconds=300)
    with server.watch(live) as watch:
        watch.until_line("before")
    saved, folder = tmp_path / "saved", tmp_path / "copy"
    manage(server.env, "backup", str(saved))
    copy = Server(folder, server.token, CRONIUM_SUBNET_POOL=OTHER_POOL)
    manage(copy.env, "restore", str(saved))
    manage(copy.env, "migrate", "-v", "0")
    with running(copy):
        told = copy.get(live)
        assert (told["status"], told["reason"]) == ("lost", "restored")
        assert copy.text(ended) == server.text(ended)
        assert copy.ended(copy.run("echo the copy works", name="Of the copy", slug="of-the-copy"))["exit_code"] == 0
        time.sleep(15)  # its reaper and its recovery have looked by now
        assert server.get(live)["status"] == "running"
        server.open_gate(live)
        assert server.ended(live)["status"] == "succeeded"
        assert server.text(live) == b"before\nafter\n"


def test_a_copied_data_folder_kills_no_run_of_its_original(serve: Callable[..., Server], tmp_path: Path) -> None:
    server, folder = serve(), tmp_path / "copy"
    live = server.run(f"echo before; {GATE}; echo after")
    with server.watch(live) as watch:
        watch.until_line("before")
    shutil.copytree(server.folder, folder)
    copy = Server(folder, server.token, CRONIUM_SUBNET_POOL=OTHER_POOL)
    with pytest.raises(AssertionError, match="is a copy"):
        manage(copy.env, "serve")
    assert server.get(live)["status"] == "running"
    manage(copy.env, "instance", "new")
    with running(copy):
        assert copy.get(live)["status"] == "lost"
        assert copy.ended(copy.run("echo the copy works", name="Of the copy", slug="of-the-copy"))["exit_code"] == 0
        time.sleep(15)  # its reaper and its recovery have looked by now
        assert server.get(live)["status"] == "running"
        server.open_gate(live)
        assert server.ended(live)["status"] == "succeeded"
        assert server.text(live) == b"before\nafter\n"


@pytest.mark.skipif(not DATABASE, reason='needs eval "$(scripts/services.sh ensure)"')
def test_postgresql_is_dumped_and_restored_by_its_own_programs(tmp_path: Path) -> None:
    with new_database() as first, new_database() as second:
        original = environment(tmp_path / "a", CRONIUM_DATABASE_URL=url_of(first), **KEYS)
        copy = environment(tmp_path / "b", CRONIUM_DATABASE_URL=url_of(second), **KEYS)
        saved = tmp_path / "saved"
        manage(original, "migrate", "-v", "0")
        manage(original, "bootstrap")
        manage(original, "shell", "-v0", "-c", _LIVE)
        manage(original, "backup", str(saved))
        assert os.stat(saved).st_mode & 0o777 == 0o600
        manage(copy, "restore", str(saved))
        manage(copy, "migrate", "--check")
        manage(copy, "instance", "show")
        for name, status in ((first, "running"), (second, "lost")):
            with psycopg.connect(url_of(name)) as database:
                assert database.execute("SELECT status FROM runs_run").fetchall() == [(status,)], name
        with psycopg.connect(url_of(first)) as one, psycopg.connect(url_of(second)) as two:
            query = "SELECT instance FROM hosts_installation"
            assert one.execute(query).fetchall() != two.execute(query).fetchall()
        assert "not empty" in _refused(copy, str(saved))
        manage(copy, "restore", "--replace", "--take-over", str(saved))
        assert manage(copy, "instance", "show") == manage(original, "instance", "show")
        with psycopg.connect(url_of(second)) as database:
            assert database.execute("SELECT status FROM runs_run").fetchall() == [("running",)]


@pytest.mark.skipif(not DATABASE, reason='needs eval "$(scripts/services.sh ensure)"')
def test_a_copied_database_does_not_start_until_it_is_a_copy_or_the_original(tmp_path: Path) -> None:
    with new_database() as first:
        original = environment(tmp_path / "a", CRONIUM_DATABASE_URL=url_of(first), **KEYS)
        manage(original, "migrate", "-v", "0")
        manage(original, "bootstrap")
        manage(original, "shell", "-v0", "-c", _LIVE)
        shown = manage(original, "instance", "show")
        with new_database(first) as second:
            copy = environment(tmp_path / "b", CRONIUM_DATABASE_URL=url_of(second), **KEYS)
            for command in (["serve"], ["reap"], ["instance", "show"]):
                with pytest.raises(AssertionError) as refused:
                    manage(copy, *command)
                told = str(refused.value)
                assert f"The database {second} is a copy: its identity belongs to another database" in told
                assert "manage.py instance new" in told
                assert "manage.py instance take-over" in told
            with psycopg.connect(url_of(second), autocommit=True) as database:
                assert database.execute("SELECT status FROM runs_run").fetchall() == [("running",)]
                manage(copy, "instance", "take-over")
                assert manage(copy, "instance", "show") == shown
                assert database.execute("SELECT status FROM runs_run").fetchall() == [("running",)]
                other = "UPDATE hosts_installation SET place = jsonb_set(place, '{server}', '\"1\"')"
                database.execute(other)
                with pytest.raises(AssertionError, match="its identity belongs to another PostgreSQL server"):
                    manage(copy, "instance", "show")
                manage(copy, "instance", "new")
                assert manage(copy, "instance", "show") != shown
                assert database.execute("SELECT status, reason FROM runs_run").fetchall() == [("lost", "copied")]
        assert manage(original, "instance", "show") == shown
        with psycopg.connect(url_of(first)) as database:
            assert database.execute("SELECT status FROM runs_run").fetchall() == [("running",)]


@pytest.mark.skipif(not DATABASE, reason='needs eval "$(scripts/services.sh ensure)"')
def test_the_schema_of_the_databases_url_is_saved_and_restored(tmp_path: Path) -> None:
    with new_database() as first, new_database() as second:
        for name in (first, second):
            with psycopg.connect(url_of(name), autocommit=True) as database:
                database.execute("CREATE SCHEMA own")
                database.execute("CREATE TABLE public.of_others (n integer)")
        urls = [f"{url_of(name)}?options=-c%20search_path%3Down&application_name=x" for name in (first, second)]
        original = environment(tmp_path / "a", CRONIUM_DATABASE_URL=urls[0], **KEYS)
        copy = environment(tmp_path / "b", CRONIUM_DATABASE_URL=urls[1], **KEYS)
        elsewhere = environment(tmp_path / "c", CRONIUM_DATABASE_URL=url_of(second), **KEYS)
        saved = tmp_path / "saved"
        manage(original, "migrate", "-v", "0")
        manage(original, "bootstrap")
        manage(original, "backup", str(saved))
        assert "schema public" in _refused(elsewhere, str(saved))
        manage(copy, "restore", str(saved))
        manage(copy, "restore", "--replace", str(saved))
        with psycopg.connect(url_of(second)) as database:
            assert database.execute("SELECT username FROM own.access_user").fetchall() == [("admin",)]
            assert database.execute("SELECT count(*) FROM public.of_others").fetchall() == [(0,)]


@pytest.mark.skipif(not DATABASE, reason='needs eval "$(scripts/services.sh ensure)"')
def test_tables_of_others_in_the_schema_are_neither_saved_nor_dropped(tmp_path: Path) -> None:
    with new_database() as first, new_database() as second:
        for name in (first, second):
            with psycopg.connect(url_of(name), autocommit=True) as database:
                database.execute("CREATE TABLE of_others (n integer)")
                database.execute("CREATE TABLE jobs_archive AS SELECT 1 AS n")  # a name such as Cronium's own
        original = environment(tmp_path / "a", CRONIUM_DATABASE_URL=url_of(first), **KEYS)
        copy = environment(tmp_path / "b", CRONIUM_DATABASE_URL=url_of(second), **KEYS)
        saved = tmp_path / "saved"
        with pytest.raises(AssertionError, match="has no tables of Cronium"):
            manage(original, "backup", str(saved))
        manage(original, "migrate", "-v", "0")
        manage(original, "bootstrap")
        manage(original, "backup", str(saved))
        for arguments in (["restore"], ["restore", "--replace"]):
            with psycopg.connect(url_of(second), autocommit=True) as database:
                database.execute("INSERT INTO of_others VALUES (1)")
            manage(copy, *arguments, str(saved))
        with psycopg.connect(url_of(second), autocommit=True) as database:
            assert database.execute("SELECT count(*) FROM of_others").fetchall() == [(2,)]
            assert database.execute("SELECT n FROM jobs_archive").fetchall() == [(1,)]
            assert _columns(database) == _columns_of(url_of(first)), "all of Cronium's tables came"
            database.execute("CREATE VIEW of_people AS SELECT username FROM access_user")
        assert "view of_people depends on table access_user" in _refused(copy, "--replace", str(saved))
        with psycopg.connect(url_of(second), autocommit=True) as database:
            assert database.execute("SELECT username FROM of_people").fetchall() == [("admin",)]
            database.execute("DROP VIEW of_people")
        assert not (tmp_path / "b" / "restore.pending").exists()
        _write_whole_dump(url_of(first), saved)
        assert "another program with names of the backup's tables: jobs_archive, of_others" in _refused(
            copy, "--replace", str(saved)
        )
        manage(copy, "shell", "-v0", "-c", _NEWER)
        assert "(it has runs.9999_later)" in _refused(copy, "--replace", str(saved))


@pytest.mark.skipif(not DATABASE, reason='needs eval "$(scripts/services.sh ensure)"')
def test_live_workers_of_the_database_are_not_restored_under(tmp_path: Path) -> None:
    with new_database() as name:
        env = environment(tmp_path / "a", CRONIUM_DATABASE_URL=url_of(name), **KEYS)
        elsewhere = environment(tmp_path / "b", CRONIUM_DATABASE_URL=url_of(name), **KEYS)
        saved = tmp_path / "saved"
        manage(env, "migrate", "-v", "0")
        manage(env, "bootstrap")
        manage(env, "backup", str(saved))
        manage(env, "shell", "-v0", "-c", _LEASE)
        assert "Workers use this database: far." in _refused(elsewhere, "--replace", str(saved))
        with psycopg.connect(url_of(name), autocommit=True) as database:
            assert database.execute("SELECT owner FROM hosts_host").fetchall() == [("x",)]
            database.execute("UPDATE hosts_host SET lease_expires_at = now() - interval '1 second'")
        manage(elsewhere, "restore", "--replace", str(saved))


def _columns(database: Any) -> list[Any]:
    query = "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public' ORDER BY 1, 2"
    return list(database.execute(query).fetchall())


def _columns_of(url: str) -> list[Any]:
    with psycopg.connect(url) as database:
        return _columns(database)


def _write_whole_dump(url: str, to: Path) -> None:
    """A backup with all tables of the schema, as earlier versions wrote it."""
    dumped = to.with_suffix(".dump")
    subprocess.run(["pg_dump", "--format=custom", f"--file={dumped}", f"--dbname={url}"], check=True)
    with tarfile.open(to) as tar:
        facts = json.loads(tar.extractfile("manifest.json").read())  # type: ignore[union-attr]
    bundle.write_bundle(
        to, {key: facts[key] for key in ("version", "vendor", "made_at", "migrations")}, {"database": dumped}
    )


_NEWER = """
from django.db.migrations.recorder import MigrationRecorder
MigrationRecorder.Migration.objects.create(app="runs", name="9999_later")
"""
_LEASE = """
from datetime import timedelta
from cronium_admin.core.database.clock import Now
from cronium_admin.workers.hosts.models import Host
Host.objects.create(name="far", owner="x", lease_expires_at=Now() + timedelta(seconds=60))
"""
_LIVE = """
from cronium_admin.workers.instance import get_instance_id
from cronium_admin.jobs.models import Job
from cronium_admin.runs.models import Run
from cronium_admin.runs.launch import launch
from tests.users import get_admin
launch(Job.objects.first(), get_admin())
Run.objects.update(status="running", host="x")
get_instance_id()
"""


def _refused(env: dict[str, str], *arguments: str) -> str:
    with pytest.raises(AssertionError) as refused:
        manage(env, "restore", *arguments)
    return str(refused.value)
