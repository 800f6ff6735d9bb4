"""Retries calls while an engine is away, for example during its restart."""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from executor.docker.errors import Conflict, EngineError, EngineUnreachable, NotFound
from executor.spec import LeaseLost

T = TypeVar("T")
AWAY_SECONDS, FAILING_SECONDS = 300.0, 30.0
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0


def retry_while_away(ask: Callable[[], T], released: threading.Event) -> T:
    """Call `ask`, and retry while the engine does not answer or answers with an error.

    Gives up after AWAY_SECONDS without an answer or FAILING_SECONDS of errors, and raises the last error. Raises
    LeaseLost when `released` is set during a pause. NotFound and Conflict are not retried.
    """
    began, pause = time.monotonic(), FIRST_PAUSE
    while True:
        try:
            return ask()
        except (NotFound, Conflict):
            raise
        except EngineError as error:
            limit = AWAY_SECONDS if isinstance(error, EngineUnreachable) else FAILING_SECONDS
            if time.monotonic() - began > limit:
                raise
        if released.wait(pause):
            raise LeaseLost
        pause = min(2 * pause, LONGEST_PAUSE)
