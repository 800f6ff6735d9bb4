"""Two transactions in small steps: each waits for the other after every statement that may lock a row."""

import re
import threading
from collections.abc import Callable
from typing import Any

from django.db import connection, connections

_LOCKS = re.compile(r"^\s*(UPDATE|DELETE|INSERT)|FOR (NO KEY )?UPDATE|pg_advisory", re.IGNORECASE)
_LONGEST_SECONDS = 60


class _Party:
    def __init__(self, work: Callable[[], object]) -> None:
        self.work = work
        self.steps = 0
        self.pid = 0
        self.is_blocked = False
        self.result: object = None
        self.thread: threading.Thread | None = None

    @property
    def is_idle(self) -> bool:
        return self.is_blocked or self.thread is None or not self.thread.is_alive() or self.steps < 0


class Lockstep:
    """Runs `first` and `second` in two threads, each with a connection of its own.

    `first` executes `ahead` statements that may lock rows; then both take turns. A party that waits for a lock of the
    other one, or has ended, lets the other one continue. `run` returns the two results; an exception is a result too.
    """

    def __init__(self, first: Callable[[], object], second: Callable[[], object], ahead: int) -> None:
        self._parties = (_Party(first), _Party(second))
        self._ahead = ahead
        self._changed = threading.Condition()

    def run(self) -> tuple[object, object]:
        for index, party in enumerate(self._parties):
            party.thread = threading.Thread(target=self._work, args=(index,), daemon=True)
        for party in self._parties:
            assert party.thread
            party.thread.start()
        while any(party.thread and party.thread.is_alive() for party in self._parties):
            self._find_blocked()
            for party in self._parties:
                assert party.thread
                party.thread.join(0.003)
        return self._parties[0].result, self._parties[1].result

    def _find_blocked(self) -> None:
        pids = [party.pid for party in self._parties if party.pid]
        with connection.cursor() as cursor:
            cursor.execute("SELECT pid FROM pg_locks WHERE NOT granted AND pid = ANY(%s)", [pids])
            blocked = {row[0] for row in cursor.fetchall()}
        with self._changed:
            for party in self._parties:
                party.is_blocked = party.pid in blocked
            self._changed.notify_all()

    def _work(self, index: int) -> None:
        party = self._parties[index]
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_backend_pid()")
                party.pid = cursor.fetchone()[0]
            with connection.execute_wrapper(lambda *args: self._step(index, *args)):
                party.result = party.work()
        except Exception as error:  # noqa: BLE001 - the test judges it
            party.result = error
        finally:
            connections.close_all()
            with self._changed:
                party.steps = -1
                self._changed.notify_all()

    def _step(self, index: int, execute: Callable[..., Any], sql: str, *args: Any) -> Any:
        if not _LOCKS.search(sql):
            return execute(sql, *args)
        with self._changed:
            assert self._changed.wait_for(lambda: self._may_go(index), _LONGEST_SECONDS), "the other party stands still"
        result = execute(sql, *args)
        with self._changed:
            self._parties[index].steps += 1
            self._changed.notify_all()
        return result

    def _may_go(self, index: int) -> bool:
        own, other = self._parties[index], self._parties[1 - index]
        if other.is_idle:
            return True
        if index == 0:
            return own.steps - other.steps < max(1, self._ahead)
        return other.steps - own.steps >= self._ahead
