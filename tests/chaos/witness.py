"""Counts how often each script starts, by the kernel alone: no part of Cronium, no engine and no network is asked.

A script begins with a process that carries its mark as its name and waits. Containers' processes are seen from the
machine that they run on, so whoever looks through /proc finds it, counts it, and lets it go on with a signal. A script
that nobody has counted does not go on, so none is missed. Costs it up to 0.1 s at its start, and the machine about a
hundredth of one core. Needs root, and engines on this machine.
"""

import os
import signal
import threading
import time
import traceback
from contextlib import suppress
from dataclasses import dataclass

LOOK_SECONDS = 0.1
PATIENCE_SECONDS = 60  # of a script that is not counted
NOT_COUNTED = 91  # its exit code then
_COUNTED = 128 + signal.SIGUSR1


def first_words(mark: str, number: int) -> str:
    """What a bash script of this number must begin with."""
    return (
        f"{{ ( exec -a {mark}/{number} sleep {PATIENCE_SECONDS} ); }} 2>/dev/null\n"
        f"[ $? = {_COUNTED} ] || exit {NOT_COUNTED}\n"
    )


@dataclass(frozen=True)
class Start:
    """One process that showed itself: `at` unix seconds; `container` as the kernel has it, empty where it died."""

    at: float
    container: str


class Witness:
    """Looks from `start` until `close`. `failed` says why it stopped before; `longest_pause` how long it once did not
    look, in seconds."""

    def __init__(self, mark: str) -> None:
        self.mark = mark
        self.failed = ""
        self.longest_pause = 0.0
        self._starts: dict[int, list[Start]] = {}
        self._known: set[tuple[int, bytes]] = set()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="witness", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._over.set()
        if self._thread.ident is not None:
            self._thread.join(10)

    def starts(self, number: int) -> tuple[Start, ...]:
        """All that were seen of the script of this number."""
        return tuple(self._starts.get(number, ()))

    def total(self) -> int:
        return sum(len(starts) for starts in self._starts.values())

    def _watch(self) -> None:
        looked = time.monotonic()
        try:
            while not self._over.wait(LOOK_SECONDS):
                self._look()
                self.longest_pause, looked = max(self.longest_pause, time.monotonic() - looked), time.monotonic()
        except Exception:  # noqa: BLE001 - without its witness the trial proves nothing, which `failed` says
            self.failed = traceback.format_exc()

    def _look(self) -> None:
        for entry in os.scandir("/proc"):
            if entry.name.isdigit():
                with suppress(FileNotFoundError, ProcessLookupError):
                    if name := self._name(int(entry.name)):
                        self._count(int(entry.name), name)

    def _name(self, pid: int) -> str:
        """The process's name, if it is one that waits to be counted."""
        name = _read(pid, "cmdline").partition(b"\0")[0].decode(errors="replace")
        return name if name.startswith(self.mark + "/") else ""

    def _count(self, pid: int, name: str) -> None:
        handle = os.pidfd_open(pid)  # from here on the number can't become another process's
        try:
            if self._name(pid) != name:
                return
            began = _read(pid, "stat").rpartition(b")")[2].split()[19]
            if (pid, began) not in self._known:
                self._known.add((pid, began))
                container = _read(pid, "cgroup").decode().strip().rpartition("/")[2]
                self._starts.setdefault(int(name.rpartition("/")[2]), []).append(Start(time.time(), container))
            signal.pidfd_send_signal(handle, signal.SIGUSR1)
        finally:
            os.close(handle)


def _read(pid: int, file: str) -> bytes:
    with open(f"/proc/{pid}/{file}", "rb") as opened:
        return opened.read()
