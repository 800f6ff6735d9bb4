"""A data folder with a migrated database, created once per test session; test processes copy it."""

import fcntl
import os
import shutil
from pathlib import Path

import pytest

from tests.forks import run_python

DATABASE = "cronium.sqlite3"


def plain_environment() -> dict[str, str]:
    """The shell's environment without settings of Cronium and Django."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("CRONIUM_", "DJANGO_"))}


def migrated_folder(factory: pytest.TempPathFactory) -> Path:
    """The folder that `manage.py migrate` created; only copy from it."""
    shared = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent  # one for all processes of this run
    if folder_of_suites := os.environ.get("CRONIUM_TEST_SHARED_DIR"):
        shared = Path(folder_of_suites)
    folder, done = shared / "migrated", shared / "migrated.done"
    with (shared / "migrated.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)
            env = plain_environment() | {"CRONIUM_DATA_DIR": str(folder)}
            made = run_python(("manage.py", "migrate", "-v", "0"), env)
            assert made.returncode == 0, f"manage.py migrate: {made.stdout}{made.stderr}"
            done.touch()
    return folder


def copy_database(source: Path, folder: Path) -> None:
    """Copies the database of a data folder into another folder."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for file in source.glob(f"{DATABASE}*"):
        shutil.copy(file, folder / file.name)
