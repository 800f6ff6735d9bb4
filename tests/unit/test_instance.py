"""A copied data folder is detected before it acts, and gets a new identity or that of the original."""

import json
import os
import shutil
import sqlite3
import subprocess
from collections import namedtuple
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from cronium_admin.backup import identity, restore
from cronium_admin.core.data_folder import load_or_create_secret, replace_text
from cronium_admin.ops import readiness
from cronium_admin.web import static_files
from cronium_admin.workers import instance as module
from cronium_admin.workers.database_place import find_database_move
from tests.prepared import copy_database
from tests.unit.test_backup import SEED, rows
from tests.unit.test_data_folder import manage, refused

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def seeded(migrated: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As the commands created it; only read and copy it."""
    folder = tmp_path_factory.mktemp("seeded")
    copy_database(migrated, folder)
    assert manage(folder, "shell", "-v0", "-c", SEED).returncode == 0
    return folder


@pytest.fixture
def original(seeded: Path, tmp_path: Path) -> Path:
    """A folder with the content of `seeded` and a record of its own place, so that it is not a copy."""
    folder = tmp_path / "original"
    shutil.copytree(seeded, folder)
    module.record_place(folder)
    return folder


def test_a_folder_that_commands_made_is_no_copy(seeded: Path) -> None:
    assert manage(seeded, "instance", "show").returncode == 0


@pytest.mark.parametrize("command", [["serve"], ["reap"], ["instance", "show"]])
def test_a_copy_is_refused_and_its_original_is_not(original: Path, tmp_path: Path, command: list[str]) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(original, copy)
    said = refused(manage(copy, *command, CRONIUM_PORT="39871"))
    assert "is a copy" in said
    assert "manage.py instance new" in said
    assert "manage.py instance take-over" in said
    assert manage(original, "instance", "show").returncode == 0


def test_a_new_identity_ends_what_was_live(original: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(original, copy)
    done = manage(copy, "instance", "new")
    assert done.returncode == 0, done.stderr
    assert manage(copy, "instance", "show").returncode == 0
    assert (copy / "instance_id").read_text() != (original / "instance_id").read_text()
    query = "SELECT status, reason FROM runs_run ORDER BY number"
    over = [("succeeded", ""), ("lost", "copied"), ("lost", "copied"), ("cancelled", "copied")]
    assert rows(copy, query) == over
    assert [status for status, _ in rows(original, query)] == ["succeeded", "running", "starting", "queued"]
    assert rows(copy, "SELECT owner FROM hosts_host") == [("",)]


def test_taken_over_it_goes_on_as_the_original(original: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(original, copy)
    assert manage(copy, "instance", "take-over").returncode == 0
    assert manage(copy, "instance", "show").returncode == 0
    assert (copy / "instance_id").read_text() == (original / "instance_id").read_text()
    assert rows(copy, "SELECT count(*) FROM runs_run WHERE status = 'running'") == [(1,)]


def test_what_happens_to_a_folder_that_stays_asks_no_question(original: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere"
    original.rename(moved)
    assert manage(moved, "instance", "show").returncode == 0
    (moved / "instance_id").chmod(0o644)  # changes the time, and the start mends it
    assert manage(moved, "instance", "show").returncode == 0


def test_the_machine_counts_and_containers_have_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "instance_id").write_text("abcdefgh")
    machine = tmp_path / "machine-id"
    monkeypatch.setattr(module, "_MACHINE_IDS", (machine,))
    monkeypatch.setattr(module, "_CONTAINER_MARKERS", ())
    machine.write_text("one\n")
    module.record_place(tmp_path)
    assert module.find_move(tmp_path) is None
    machine.write_text("two\n")
    assert "another machine" in str(module.find_move(tmp_path))
    monkeypatch.setattr(module, "_CONTAINER_MARKERS", (tmp_path,))
    assert module.find_move(tmp_path) is None


def test_another_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "instance_id").write_text("abcdefgh")
    (tmp_path / module.PLACE).write_text('{"files": [1, 2], "changed": 3}')
    assert "another folder" in str(module.find_move(tmp_path))
    (tmp_path / module.PLACE).write_text("{}")
    assert "another folder" in str(module.find_move(tmp_path))


@pytest.mark.parametrize(
    ("recorded", "place", "told"),
    [
        (None, {}, None),
        ([], {}, None),
        ({"server": "1", "database": "2", "schema": "s"}, {}, None),
        ({"server": "9", "database": "2", "schema": "s"}, {}, "another PostgreSQL server"),
        ({"server": "1", "database": "9", "schema": "s"}, {}, "another database"),
        ({"server": "1", "database": "2", "schema": "public"}, {}, "another schema"),
        ({"server": "", "database": "2", "schema": "s"}, {}, None),
        ({"server": "1", "database": "2", "schema": "s"}, {"server": ""}, None),
        ({"server": "1", "database": "9", "schema": "s"}, {"server": ""}, "another database"),
    ],
)
def test_a_copied_database_is_known_by_its_place(recorded: Any, place: dict[str, str], told: str | None) -> None:
    """A role that may not read the server's identifier compares the rest."""
    moved = find_database_move(recorded, {"server": "1", "database": "2", "schema": "s"} | place)
    assert moved == (told and f"its identity belongs to {told}")


@pytest.mark.parametrize("record", [b"", b"\0" * 120, b"[]", b"null", b"7", b'"text"', b"{", b"\xff"])
def test_a_record_without_its_content_stops_no_start(tmp_path: Path, record: bytes) -> None:
    """As after a power failure."""
    (tmp_path / "instance_id").write_text("abcdefgh")
    (tmp_path / module.PLACE).write_bytes(record)
    assert module.find_move(tmp_path) is None
    module.record_place(tmp_path)
    assert json.loads((tmp_path / module.PLACE).read_text()).keys() == {"machine", "files", "changed"}


class PowerCut:
    """`os.replace` and `os.link` refuse a file whose content would be lost in a power failure at that moment.

    Records the folders whose names would be lost.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._synced: set[tuple[int, int]] = set()
        self.names: list[str] = []
        self.folders: set[int] = set()
        self._fsync = os.fsync
        monkeypatch.setattr(os, "fsync", self._note)
        for name in ("replace", "link"):
            monkeypatch.setattr(os, name, self._checked(getattr(os, name)))

    def _note(self, file: int) -> None:
        found = os.stat(file)
        self._synced.add((found.st_ino, found.st_size))
        self.folders.add(found.st_ino)
        self._fsync(file)

    def _checked(self, call: Callable[..., None]) -> Callable[..., None]:
        def checked(source: str, target: Path) -> None:
            found = os.stat(source)
            assert (found.st_ino, found.st_size) in self._synced, target
            self.folders.discard(Path(target).parent.stat().st_ino)
            self.names.append(Path(target).name)
            call(source, target)

        return checked


def test_what_is_read_later_outlasts_a_power_cut_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    settings.DATA_DIR = tmp_path
    cut, folder = PowerCut(monkeypatch), tmp_path.stat().st_ino
    steps: list[tuple[str, Callable[[], object]]] = [
        ("encryption_key", lambda: load_or_create_secret(tmp_path, "encryption_key")),
        ("instance_id", lambda: load_or_create_secret(tmp_path, "instance_id")),
        (module.PLACE, lambda: module.record_place(tmp_path)),
        ("instance_id", lambda: identity._write_identity("abcdefgh")),
        (restore.PENDING_FILE, lambda: restore._write_pending(tmp_path / "staged")),
    ]
    for name, step in steps:
        step()
        assert name in cut.names
        assert folder in cut.folders, f"the name of {name} lasts too"
        cut.names.clear()
        assert {one.stat().st_mode & 0o077 for one in tmp_path.iterdir()} == {0}
    assert not [one for one in tmp_path.iterdir() if one.name.startswith(".")], "and nothing else is left"


def test_static_files_outlast_a_power_cut_before_they_count_as_collected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    settings.STATIC_ROOT = tmp_path
    synced: list[bool] = []
    monkeypatch.setattr(static_files, "call_command", lambda *_, **__: None)
    monkeypatch.setattr(os, "sync", lambda: synced.append((tmp_path / static_files.STAMP).exists()))
    for _ in range(2):
        static_files.collect_static_files()
    assert synced == [False], "before the stamp, and only when files were written"


@pytest.mark.parametrize("call", ["replace", "fsync"])
def test_a_write_that_fails_leaves_the_old_text_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / "file"
    path.write_text("old")
    with monkeypatch.context() as patched:
        patched.setattr(os, call, fail)
        with pytest.raises(OSError, match="No space left"):
            replace_text(path, "new")
    assert (path.read_text(), list(tmp_path.iterdir())) == ("old", [path])


def test_older_software_refuses_a_newer_database(original: Path) -> None:
    with closing(sqlite3.connect(original / "cronium.sqlite3")) as database, database:
        row = ("jobs", "9999_later", "2030-01-01")
        database.execute("INSERT INTO django_migrations (app, name, applied) VALUES (?, ?, ?)", row)
        database.execute("UPDATE hosts_installation SET version = '7.5'")
    for command in (["serve"], ["worker"], ["web"]):
        env = {"CRONIUM_REDIS_URL": "redis://127.0.0.1:9", "CRONIUM_PORT": "39872"}
        said = refused(manage(original, *command, **env))
        assert "Cronium 7.5" in said
        assert "jobs.9999_later" in said
    assert manage(original, "migrate", "-v0").returncode == 0
    assert rows(original, "SELECT version FROM hosts_installation") == [("7.5",)], "an old `migrate` claims nothing"


def test_an_unwritable_folder_is_told(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    assert "can't be used" in refused(manage(tmp_path / "data", "migrate"))
    assert "can't be used" in refused(manage(tmp_path, "serve"))


@pytest.mark.parametrize("command", [["serve"], ["bootstrap"]])
def test_a_read_only_database_is_told(original: Path, command: list[str]) -> None:
    with closing(sqlite3.connect(original / "cronium.sqlite3")) as database, database:
        database.execute("UPDATE access_user SET is_superuser = 0, username = 'other'")  # so bootstrap has to write
    for file in original.glob("cronium.sqlite3*"):
        file.chmod(0o400)
    said = refused(manage(original, *command, CRONIUM_PORT="39874"))
    assert "cronium.sqlite3" in said or "database" in said


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
@pytest.mark.parametrize("command", [["migrate"], ["serve"]])
def test_a_disk_that_is_full_at_the_start_is_told(tmp_path: Path, migrated: Path, command: list[str]) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(
        [
            "mount",
            "-t",
            "tmpfs",
            "-o",
            "size=4m,mode=0700" if command == ["serve"] else "size=1m,mode=0700",
            "tmpfs",
            str(disk),
        ],
        check=True,
    )
    try:
        if command == ["serve"]:  # the database has room, the static files have not
            copy_database(migrated, disk)
        said = refused(manage(disk, *command, CRONIUM_PORT="39875"))
        assert "Free some space" in said
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_folder_that_can_be_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "can't be used" in refused(manage(tmp_path / "file", "serve"))
    assert "can't be used" in refused(manage(Path("/proc/cronium"), "serve"))


def test_an_empty_key_file_stops_the_start(original: Path) -> None:
    for name in ("secret_key", "instance_id", "encryption_key"):
        kept = (original / name).read_text()
        (original / name).write_text("")
        said = refused(manage(original, "serve", CRONIUM_PORT="39873"))
        assert f"{original / name} can't be used: it is empty" in said
        (original / name).write_text(kept)


def test_a_missing_encryption_key_is_not_replaced_while_secrets_are_stored(original: Path) -> None:
    key = original / "encryption_key"
    key.unlink()
    for command in (["serve"], ["worker"], ["web"], ["secrets", "set", "OTHER"]):
        env = {"CRONIUM_REDIS_URL": "redis://127.0.0.1:9"} if command[0] in ("worker", "web") else {}
        said = refused(manage(original, *command, CRONIUM_PORT="39874", input="value", **env))
        assert f"The key file {key} is missing, and a secret is stored" in said
        for mend in ("Restore the file", "CRONIUM_ENCRYPTION_KEYS", "manage.py secrets new-key"):
            assert mend in said
        assert not key.exists()


def test_a_lost_key_is_replaced_on_request_alone(original: Path) -> None:
    assert "A key exists already" in refused(manage(original, "secrets", "new-key"))
    kept = (original / "encryption_key").read_text()
    (original / "encryption_key").unlink()
    assert "A key exists already" in refused(manage(original, "secrets", "new-key", CRONIUM_ENCRYPTION_KEYS=kept))
    done = manage(original, "secrets", "new-key")
    assert done.returncode == 0, done.stderr
    assert "Set the values of these secrets again: KEY." in done.stdout
    assert (original / "encryption_key").read_text() != kept
    assert manage(original, "secrets", "set", "KEY", input="value").returncode == 0
    assert manage(original, "secrets", "rotate").returncode == 0


def test_without_secrets_a_missing_key_is_made(original: Path) -> None:
    (original / "encryption_key").unlink()
    with closing(sqlite3.connect(original / "cronium.sqlite3")) as database, database:
        database.execute("DELETE FROM secrets_secret")
    assert manage(original, "secrets", "set", "KEY", input="value").returncode == 0
    assert (original / "encryption_key").exists()


Found = namedtuple("Found", "f_bavail f_frsize f_blocks f_files f_favail")


@pytest.mark.parametrize(
    ("found", "fits"),
    [
        (Found(10**6, 4096, 10**7, 100, 50), True),
        (Found(0, 4096, 10**7, 100, 50), False),
        (Found(10**6, 4096, 10**7, 100, 0), False),
        (Found(10**6, 4096, 10**7, 0, 0), True),
        (Found(7000, 4096, 8192, 100, 50), True),
        (Found(20, 4096, 8192, 100, 50), False),
    ],
)
def test_a_full_disk_is_not_ready(found: Found, fits: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness.os, "statvfs", lambda place: found)
    assert readiness.CHECKS["disk"]() is fits
