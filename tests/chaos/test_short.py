"""A chaos trial of two or three minutes. Needs root to start the second engine."""

import os
import tempfile
from pathlib import Path

import pytest

from tests.chaos.__main__ import run_trial

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not os.environ.get("CRONIUM_TEST_DATABASE_URL"),
    reason='needs root, and eval "$(scripts/services.sh ensure)"',
)


def test_nothing_is_lost_stuck_or_started_twice() -> None:
    seed = int(os.environ.get("CHAOS_SEED") or int.from_bytes(os.urandom(2), "big"))
    # A short path: it holds the engine's sockets, and a socket path is limited to 107 bytes.
    with tempfile.TemporaryDirectory(prefix="cronium-chaos-", ignore_cleanup_errors=True) as folder:
        assert run_trial(40, seed, 75, Path(folder)) == 0
