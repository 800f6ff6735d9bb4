"""Failpoints: places where a test can kill this process with SIGKILL. They do nothing unless VARIABLE is set."""

import os
import signal

VARIABLE = "CRONIUM_CRASH_AT"  # holds the failpoint's name
POINTS = (
    *("claimed", "network-created", "sidecar-created", "sidecar-started", "main-created", "main-started", "built"),
    *("begun", "payload-half", "payload-sent", "line-stored", "stopping", "drained", "concluded", "finished"),
    *("main-removed", "network-removed", "cleaned", "adopting", "adopted"),
)
# Of sandboxes that wait for a run; "warm-taken" is in the process that launches the run.
WARM_POINTS = ("warm-inserted", "warm-prepared", "warm-ready", "warm-taken", "warm-claimed", "warm-bound")
# Of the end of an image build: after the step of this name.
BUILD_POINTS = (
    *("image-exited", "image-committed", "image-normalized", "image-loaded", "image-tested", "image-tagged"),
    *("image-pushed", "image-ready"),
)


def hit(name: str) -> None:
    if os.environ.get(VARIABLE) == name:
        os.kill(os.getpid(), signal.SIGKILL)
