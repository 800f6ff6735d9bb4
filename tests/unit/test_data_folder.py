"""Only its owner can use the data folder, and an unusable one is reported in a sentence at the start."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from cronium_admin.core.config import Config
from cronium_admin.core.data_folder import DataFolderError, find_unrestricted, load_or_create_secret, restrict_to_owner
from cronium_admin.workers.health.checks import machine
from cronium_admin.workers.health.checks.machine import check_data_folder
from tests.forks import run_python
from tests.prepared import copy_database

ROOT = Path(__file__).parents[2]


# Root writes past every mode unless it gives up the capabilities to do so.
_OBEY_MODES = ("setpriv", "--bounding-set", "-dac_override,-dac_read_search") if os.geteuid() == 0 else ()


def manage(
    folder: Path, *arguments: str, umask: int = 0o022, input: str | None = None, **env: str
) -> "subprocess.CompletedProcess[str]":
    plain = {name: value for name, value in os.environ.items() if not name.startswith("CRONIUM_")}
    env = {**plain, "CRONIUM_DATA_DIR": str(folder), **env}
    return run_python(("manage.py", *arguments), env, umask=umask, input_text=input or "", prefix=_OBEY_MODES)


def refused(done: "subprocess.CompletedProcess[str]") -> str:
    assert done.returncode != 0, done.stdout
    assert "Traceback" not in done.stderr
    (line,) = done.stderr.strip().splitlines()
    return line


def modes(folder: Path) -> dict[str, str]:
    return {str(one.relative_to(folder)): oct(one.stat().st_mode & 0o777) for one in [folder, *folder.rglob("*")]}


@pytest.mark.long
def test_what_commands_make_is_for_their_owner_alone_whatever_the_umask(tmp_path: Path, migrated: Path) -> None:
    folder = tmp_path / "new" / "data"
    assert manage(folder, "migrate", "sessions", "-v0", umask=0).returncode == 0  # all migrations take seconds of CPU
    shutil.copyfile(migrated / "cronium.sqlite3", folder / "cronium.sqlite3")  # the file keeps its permissions
    assert manage(folder, "bootstrap", umask=0).returncode == 0
    made = modes(folder)
    assert made.pop(".") == "0o700"
    assert {"cronium.sqlite3", "secret_key"} <= made.keys()
    assert set(made.values()) == {"0o600"}
    assert oct(folder.parent.stat().st_mode & 0o777) == "0o700"


@pytest.mark.long
def test_an_open_folder_is_closed_at_the_next_start_and_said_once(tmp_path: Path, migrated: Path) -> None:
    folder = tmp_path / "data"
    outside = tmp_path / "outside"
    outside.write_text("somebody else's")
    outside.chmod(0o644)
    copy_database(migrated, folder)
    (folder / "static" / "deep").mkdir(parents=True)
    (folder / "program").write_text("#!/bin/sh")
    (folder / "link").symlink_to(outside)
    opened = (("", 0o755), ("cronium.sqlite3", 0o644), ("static", 0o755), ("static/deep", 0o777), ("program", 0o755))
    for path, mode in opened:
        (folder / path).chmod(mode)
    done = manage(folder, "token", "list")
    assert done.returncode == 0
    assert "were removed from" in done.stderr
    assert str(folder) in done.stderr
    assert not list(find_unrestricted(folder))
    assert oct((folder / "program").stat().st_mode & 0o777) == "0o700", "the owner's own permissions stay"
    assert oct((folder / "static").stat().st_mode & 0o777) == "0o700"
    deep = oct((folder / "static" / "deep").stat().st_mode & 0o777)
    assert deep == "0o777", "nobody gets there, and a program that keeps files there may need them as they are"
    assert oct(outside.stat().st_mode & 0o777) == "0o644", "links are not followed"
    assert manage(folder, "token", "list").stderr == ""


@pytest.mark.long
def test_a_database_elsewhere_is_closed_too(tmp_path: Path, migrated: Path) -> None:
    place = tmp_path / "elsewhere"
    place.mkdir(mode=0o755)
    (place / "of-others").touch(0o644)
    env = {"CRONIUM_DATABASE_URL": f"sqlite:///{place / 'own.sqlite3'}"}
    shutil.copy(migrated / "cronium.sqlite3", place / "own.sqlite3")
    (place / "own.sqlite3").chmod(0o666)
    assert manage(tmp_path / "data", "token", "list", **env).returncode == 0
    assert modes(place) == {".": "0o755", "own.sqlite3": "0o600", "of-others": "0o644"}


def test_doctor_fails_an_open_folder_and_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "list_own_paths", lambda: [tmp_path])  # the tests' database lies elsewhere
    tmp_path.chmod(0o700)
    ask: object = None
    assert next(check_data_folder(ask)).state == "ok"  # type: ignore[arg-type]
    (tmp_path / "secret_key").write_text("x" * 40)
    (tmp_path / "secret_key").chmod(0o640)
    (row,) = check_data_folder(ask)  # type: ignore[arg-type]
    assert (row.state, str(tmp_path / "secret_key") in row.found, "chmod" in row.mend) == ("failed", True, True)
    assert (tmp_path / "secret_key").stat().st_mode & 0o777 == 0o640


@pytest.mark.skipif(os.geteuid() != 0, reason="another user's files take root")
def test_what_belongs_to_another_user_is_told() -> None:
    with tempfile.TemporaryDirectory(prefix="cronium-test-") as made:
        folder = Path(made)
        folder.chmod(0o755)
        os.chown(folder, 12345, 12345)
        script = (
            "import os, sys; from pathlib import Path; from cronium_admin.core.data_folder import restrict_to_owner;"
            "os.setuid(23456); print(restrict_to_owner(Path(sys.argv[1])))"
        )
        command = [sys.executable, "-c", script, made]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.stdout == f"([], [PosixPath('{made}')])\n", done.stderr
        assert restrict_to_owner(folder) == ([folder], [])


@pytest.mark.parametrize("folder", ["/", "/tmp", "/etc", "/var/lib/", "/usr/../home"])
def test_a_folder_of_the_system_is_refused(tmp_path: Path, folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRONIUM_DATA_DIR", folder)
    with pytest.raises(ValueError, match="a system folder"):
        Config()


@pytest.mark.parametrize("name", ["secret_key", "encryption_key", "instance_id"])
@pytest.mark.parametrize(
    "content", [b"", b"  \n", b"short", b"\xff\xfe\x00" * 20, b"not base64 or a name, at all! " * 2]
)
def test_a_damaged_key_file_is_refused_and_kept(tmp_path: Path, name: str, content: bytes) -> None:
    if name == "secret_key" and len(content) > 59:
        content = content[:20]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataFolderError) as error:
        load_or_create_secret(tmp_path, name)
    assert str(tmp_path / name) in str(error.value)
    assert "Restore it from a backup" in str(error.value)
    assert (tmp_path / name).read_bytes() == content
