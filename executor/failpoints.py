"""Points at which a test can make this process die at once, as a power cut would. Nothing happens without it."""

import os
import signal

VARIABLE = "CRONIUM_CRASH_AT"  # the point's name
POINTS = (
    *("claimed", "network-created", "sidecar-created", "sidecar-started", "main-created", "main-started", "built"),
    *("begun", "payload-half", "payload-sent", "line-stored", "stopping", "drained", "concluded", "finished"),
    *("main-removed", "network-removed", "cleaned", "adopting", "adopted"),
)


def hit(name: str) -> None:
    """Die here if the environment says so."""
    if os.environ.get(VARIABLE) == name:
        os.kill(os.getpid(), signal.SIGKILL)
