"""Limits how many sandboxes are built and removed on one engine at once. Builds go first."""

import threading
from collections import deque
from collections.abc import Callable
from types import TracebackType


class _Entry:
    """A reusable context manager that calls a function on each side."""

    def __init__(self, enter: Callable[[], None], leave: Callable[[], None]) -> None:
        self._enter, self._leave = enter, leave

    def __enter__(self) -> None:
        self._enter()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._leave()


class EngineGate:
    """`builds` and `removals` are context managers; entering one waits for its turn. Builds keep their order.

    While a build waits, only one removal is in progress: a start is waited for by a user, a removal by nobody. It is
    never none, so that removals keep up with an endless queue of runs.
    """

    def __init__(self, most_builds: int, most_removals: int) -> None:
        self._most_builds, self._most_removals = most_builds, most_removals
        self._lock = threading.Lock()
        self._waiting_builds: deque[threading.Event] = deque()
        self._removal_turn = threading.Condition(self._lock)
        self._building = self._removing = 0
        self._is_open = False
        self.builds = _Entry(self._enter_build, self._leave_build)
        self.removals = _Entry(self._enter_removal, self._leave_removal)

    def open(self) -> None:
        """Limit removals no more: the process ends soon."""
        with self._lock:
            self._is_open = True
            self._removal_turn.notify_all()

    def has_builds(self) -> bool:
        """A sandbox is being built, or its build waits."""
        with self._lock:
            return self._building > 0

    def has_waiting_builds(self) -> bool:
        with self._lock:
            return bool(self._waiting_builds)

    def _enter_build(self) -> None:
        with self._lock:
            if self._building < self._most_builds:
                self._building += 1
                return
            turn = threading.Event()
            self._waiting_builds.append(turn)
        turn.wait()

    def _leave_build(self) -> None:
        with self._lock:
            if self._waiting_builds:
                self._waiting_builds.popleft().set()  # it takes this place over
            else:
                self._building -= 1
            self._removal_turn.notify()

    def _enter_removal(self) -> None:
        with self._lock:
            self._removal_turn.wait_for(self._may_remove)
            self._removing += 1
            self._removal_turn.notify()  # the next one may go, too

    def _leave_removal(self) -> None:
        with self._lock:
            self._removing -= 1
            self._removal_turn.notify()

    def _may_remove(self) -> bool:
        most = 1 if self._waiting_builds else self._most_removals
        return self._is_open or self._removing < most
