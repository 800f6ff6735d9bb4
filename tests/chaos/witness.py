"""Counts the starts of each script in /proc, independently of Cronium, the engines and the network.

A script starts a process that has the mark in its name and waits. The processes of containers are visible in the
machine's /proc: the witness finds the process, counts it, and sends it a signal to continue. A script that is not
counted does not continue, so every start is counted. This delays a script by up to 0.1 s and uses about 1 % of a core.
Needs root and engines on this machine.
"""

import os
import signal
import threading
import time
import traceback
from contextlib import suppress
from dataclasses import dataclass

SCAN_SECONDS = 0.1
WAIT_SECONDS = 60  # a script waits that long to be counted
NOT_COUNTED = 91  # exit code of a script that was not counted
_COUNTED = 128 + signal.SIGUSR1


def create_preamble(mark: str, number: int) -> str:
    return (
        f"{{ ( exec -a {mark}/{number} sleep {WAIT_SECONDS} ); }} 2>/dev/null\n"
        f"[ $? = {_COUNTED} ] || exit {NOT_COUNTED}\n"
    )


@dataclass(frozen=True)
class Start:
    """A counted start: `at` in unix seconds; `container` from the process's cgroup, empty if the process had ended."""

    at: float
    container: str


class Witness:
    """Scans /proc in a thread. `failure` is the traceback of a failed scan; `longest_pause` is in seconds."""

    def __init__(self, mark: str) -> None:
        self.mark = mark
        self.failure = ""
        self.longest_pause = 0.0
        self._starts: dict[int, list[Start]] = {}
        self._counted: set[tuple[int, bytes]] = set()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._scan_repeatedly, name="witness", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        if self._thread.ident is not None:
            self._thread.join(10)

    def get_starts(self, number: int) -> tuple[Start, ...]:
        return tuple(self._starts.get(number, ()))

    def count_starts(self) -> int:
        return sum(len(starts) for starts in self._starts.values())

    def _scan_repeatedly(self) -> None:
        scanned_at = time.monotonic()
        try:
            while not self._stopped.wait(SCAN_SECONDS):
                self._scan_processes()
                now = time.monotonic()
                self.longest_pause, scanned_at = max(self.longest_pause, now - scanned_at), now
        except Exception:  # noqa: BLE001 - reported through `failure`: the trial is invalid
            self.failure = traceback.format_exc()

    def _scan_processes(self) -> None:
        for entry in os.scandir("/proc"):
            if entry.name.isdigit():
                with suppress(FileNotFoundError, ProcessLookupError):
                    if name := self._read_name(int(entry.name)):
                        self._count_start(int(entry.name), name)

    def _read_name(self, pid: int) -> str:
        """The process's name if it has the mark, else an empty string."""
        name = _read_file(pid, "cmdline").partition(b"\0")[0].decode(errors="replace")
        return name if name.startswith(self.mark + "/") else ""

    def _count_start(self, pid: int, name: str) -> None:
        handle = os.pidfd_open(pid)  # keeps the pid from being reused
        try:
            if self._read_name(pid) != name:
                return
            started_at = _read_file(pid, "stat").rpartition(b")")[2].split()[19]
            if (pid, started_at) not in self._counted:
                self._counted.add((pid, started_at))
                container = _read_file(pid, "cgroup").decode().strip().rpartition("/")[2]
                self._starts.setdefault(int(name.rpartition("/")[2]), []).append(Start(time.time(), container))
            signal.pidfd_send_signal(handle, signal.SIGUSR1)
        finally:
            os.close(handle)


def _read_file(pid: int, file: str) -> bytes:
    with open(f"/proc/{pid}/{file}", "rb") as stream:
        return stream.read()
