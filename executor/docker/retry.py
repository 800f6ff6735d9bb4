"""Waits for an engine that is away for a while, as one that is restarted is."""

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
    """What `ask` returns, asked again while the engine gives no answer, or one that says it failed.

    After five minutes, or half a minute of failing, its error stands; LeaseLost as soon as `released` is set
    while it waits. What is not there, or not allowed, is not asked for again.
    """
    began, pause = time.monotonic(), FIRST_PAUSE
    while True:
        try:
            return ask()
        except (NotFound, Conflict):
            raise
        except EngineError as error:
            patience = AWAY_SECONDS if isinstance(error, EngineUnreachable) else FAILING_SECONDS
            if time.monotonic() - began > patience:
                raise
        if released.wait(pause):
            raise LeaseLost
        pause = min(2 * pause, LONGEST_PAUSE)
