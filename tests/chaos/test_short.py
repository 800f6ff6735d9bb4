"""Chaos in two or three minutes: needs root for the engine of its own."""

import os
import tempfile
from pathlib import Path

import pytest

from tests.chaos.__main__ import trial

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not os.environ.get("CRONIUM_TEST_DATABASE_URL"),
    reason='needs root, and eval "$(scripts/services.sh ensure)"',
)


def test_nothing_is_lost_stuck_or_started_twice() -> None:
    seed = int(os.environ.get("CHAOS_SEED") or int.from_bytes(os.urandom(2), "big"))
    # A short path: an engine's sockets lie in it, and the kernel takes no more than 107 characters.
    with tempfile.TemporaryDirectory(prefix="cronium-chaos-", ignore_cleanup_errors=True) as folder:
        assert trial(40, seed, 75, Path(folder)) == 0
