"""Starts Python programs, mostly manage.py, as forks of a process that has imported the libraries and Cronium: the
imports are most of the CPU time of a start. The settings are read after the fork, so that each program reads its own
environment and data folder, as a new process does.

Three processes take part. The parent imports, and forks a minder for each start. The minder forks the program, and
reports its pid and its exit code. All end with the process of the tests, except a program that still runs, as with
`subprocess`.

A fork has the command line of the parent, and shares memory with it: a test that looks at these starts a real process.
"""

import atexit
import functools
import gc
import json
import os
import runpy
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import weakref
from contextlib import suppress
from multiprocessing.connection import wait as wait_until_readable
from pathlib import Path
from typing import IO, Any

from tests.preloaded import import_cronium, import_libraries

ROOT = Path(__file__).parents[1]
_REPORT = struct.Struct("i")  # of a minder: the pid, later the exit code
_parent_lock = threading.Lock()


class Fork:
    """As `subprocess.Popen` of `python ARGUMENTS` from the root of the project; `wait` and `poll` work in all threads.

    `arguments` begin with a file or with -m and a module. `umask` None is the one of the process of the tests.
    """

    def __init__(
        self,
        arguments: tuple[str, ...],
        env: dict[str, str],
        output: tuple[IO[Any], IO[Any]],
        *,
        umask: int | None = None,
        stdin: IO[Any] | None = None,
        prefix: tuple[str, ...] = (),
    ) -> None:
        """`prefix` is a program that executes another."""
        self.args = arguments
        self.returncode: int | None = None
        self._lock = threading.Lock()
        with _parent_lock:
            parent = _start_parent(prefix)
        ours, theirs = socket.socketpair()
        with ours, theirs, open(os.devnull) as nothing:
            socket.send_fds(parent, [b"+"], [theirs.fileno()])
            theirs.close()
            socket.send_fds(ours, [b"+"], [(stdin or nothing).fileno(), *(stream.fileno() for stream in output)])
            ours.sendall(json.dumps({"arguments": arguments, "env": env, "umask": umask}).encode())
            ours.shutdown(socket.SHUT_WR)
            self._reports = ours.detach()
        weakref.finalize(self, os.close, self._reports)
        self.pid = self._read_report()

    def _read_report(self) -> int:
        report = os.read(self._reports, _REPORT.size)
        if not report:
            raise RuntimeError(f"the minder of {' '.join(self.args)} has died")
        return int(_REPORT.unpack(report)[0])

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None and not wait_until_readable([self._reports], timeout):
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        with self._lock:
            if self.returncode is None:
                self.returncode = self._read_report()
            return self.returncode

    def poll(self) -> int | None:
        try:
            return self.wait(0)
        except subprocess.TimeoutExpired:
            return None

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            try:
                os.kill(self.pid, number)
            except ProcessLookupError:  # it has ended meanwhile
                return

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


Process = subprocess.Popen[bytes] | Fork


def run_python(
    arguments: tuple[str, ...],
    env: dict[str, str],
    *,
    umask: int | None = None,
    input_text: str = "",
    prefix: tuple[str, ...] = (),
    timeout: float = 300,
) -> "subprocess.CompletedProcess[str]":
    """As `subprocess.run` of `python ARGUMENTS`, see Fork; kills it after `timeout` seconds."""
    with (
        tempfile.TemporaryFile("w+") as stdin,
        tempfile.TemporaryFile("w+") as out,
        tempfile.TemporaryFile("w+") as err,
    ):
        stdin.write(input_text)
        stdin.seek(0)
        program = Fork(arguments, env, (out, err), umask=umask, stdin=stdin, prefix=prefix)
        try:
            status = program.wait(timeout)
        except BaseException:
            program.kill()
            raise
        out.seek(0)
        err.seek(0)
        return subprocess.CompletedProcess(arguments, status, out.read(), err.read())


@functools.cache
def _start_parent(prefix: tuple[str, ...]) -> socket.socket:
    """The connection to the parent, whose end ends the parent."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("CRONIUM_", "DJANGO_"))}
    ours, theirs = socket.socketpair()
    with theirs:
        parent = subprocess.Popen([*prefix, sys.executable, "-m", "tests.forks"], cwd=ROOT, env=plain, stdin=theirs)
    atexit.register(parent.wait)
    atexit.register(ours.close)  # the last registered is called first
    return ours


# In the parent, the minder and the program.


def _serve_requests() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the tests and the programs
    import_libraries()
    import_cronium()
    assert len(sys._current_frames()) == 1
    gc.freeze()
    requests = socket.socket(fileno=0)
    while connections := socket.recv_fds(requests, 1, 1)[1]:
        if os.fork() == 0:
            requests.detach()
            _mind_program(socket.socket(fileno=connections[0]))
            return
        os.close(connections[0])
        _reap_minders()
    _reap_minders()
    os._exit(0)


def _reap_minders() -> None:
    """So that the CPU time of programs that have ended is among that of the tests."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _mind_program(connection: socket.socket) -> None:
    """Returns in the program, at its end."""
    files = socket.recv_fds(connection, 1, 3)[1]
    with connection.makefile("rb") as stream:
        request = json.load(stream)
    for place, file in enumerate(files):
        os.dup2(file, place)
        os.close(file)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a signal that arrives at once is not lost
    if (program := os.fork()) == 0:
        connection.detach()
        _run_program(**request)
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    connection.sendall(_REPORT.pack(program))
    status = os.waitstatus_to_exitcode(os.waitpid(program, 0)[1])
    try:
        connection.sendall(_REPORT.pack(status))
    finally:  # the tests may have ended
        os._exit(0)


def _run_program(arguments: list[str], env: dict[str, str], umask: int | None) -> None:
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    os.environ.clear()
    os.environ.update(env)
    if umask is not None:
        os.umask(umask)
    if arguments[0] == "-m":
        sys.argv = arguments[1:]
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = arguments
        runpy.run_path(arguments[0], run_name="__main__")


if __name__ == "__main__":
    _serve_requests()
