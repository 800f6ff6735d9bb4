"""Unit tests of what depends on the database's locks and snapshots, run again on PostgreSQL."""

import os
import subprocess
import sys

import pytest

from tests.engine.scaled import DATABASE, KEYS, new_database, url_of
from tests.engine.server import ROOT

pytestmark = pytest.mark.skipif(not DATABASE, reason='needs eval "$(scripts/services.sh ensure)"')


@pytest.mark.parametrize("name", ["test_lease", "test_transitions"])
def test_unit_tests_pass_on_postgresql(name: str) -> None:
    plain = {key: value for key, value in os.environ.items() if not key.startswith(("CRONIUM_", "PYTEST_"))}
    with new_database() as database:  # pytest makes and drops test_<name> beside it
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"tests/unit/{name}.py"],
            env={**plain, "CRONIUM_DATABASE_URL": url_of(database), **KEYS},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert " passed" in done.stdout
