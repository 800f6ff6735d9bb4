"""The threads in which Django serves requests: one per slot, reused by later requests."""

import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any

from cronium_admin.core.database.threads import renew_connections


class RequestThreads:
    """Single-thread executors to borrow; created only if none is idle. `closing_thread` closes streamed responses."""

    def __init__(self, name: str) -> None:
        self._name, self._idle, self._made = name, list[ThreadPoolExecutor](), 0
        self.closing_thread = ThreadPoolExecutor(1, f"{name}-closing")

    def borrow(self) -> ThreadPoolExecutor:
        if self._idle:
            return self._idle.pop()
        self._made += 1
        return ThreadPoolExecutor(1, f"{self._name}-{self._made}")

    def give_back(self, thread: ThreadPoolExecutor) -> None:
        self._idle.append(thread)


class LentThread(Executor):
    """The thread of one request until `give_back`; calls after that run in `closing_thread`."""

    def __init__(self, threads: RequestThreads) -> None:
        self._threads, self._lock = threads, threading.Lock()
        self._thread: ThreadPoolExecutor | None = threads.borrow()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        with self._lock:
            return (self._thread or self._threads.closing_thread).submit(fn, *args, **kwargs)

    def give_back(self) -> bool:
        """Returns the thread, after its connections are renewed as after a request; False if it was returned before."""
        with self._lock:
            thread, self._thread = self._thread, None
        if thread is None:
            return False
        thread.submit(renew_connections)
        self._threads.give_back(thread)
        return True
