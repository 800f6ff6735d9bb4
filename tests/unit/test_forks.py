"""Programs that start as forks behave as new processes."""

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.forks import Fork, run_python

LOOK = """
import os, signal, sys, threading
print(sys.argv, __name__, os.environ.get("CRONIUM_HOST_NAME"), "HOME" in os.environ, oct(os.umask(0)))
print(sorted(os.listdir("/proc/self/fd"))[:-1], threading.active_count(), sys.stdin.read())
print(signal.getsignal(signal.SIGINT) is signal.default_int_handler, signal.getsignal(signal.SIGCHLD).name)
print([name for name in sys.modules if name.startswith(("cronium_admin", "executor"))])
sys.exit(7)
"""


@pytest.fixture
def start(tmp_path: Path) -> Callable[[str], Fork]:
    """Starts a script whose output is in the file `out`."""

    def start_script(script: str) -> Fork:
        (tmp_path / "script.py").write_text(script)
        with (tmp_path / "out").open("wb") as out:
            return Fork((str(tmp_path / "script.py"),), {}, (out, out))

    return start_script


def test_a_fork_has_only_what_its_start_gave_it(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(LOOK)
    done = run_python((str(script), "word"), {"CRONIUM_HOST_NAME": "one"}, umask=0o027, input_text="typed")
    assert (done.returncode, done.stderr) == (7, "")
    assert done.stdout.splitlines() == [
        f"{[str(script), 'word']} __main__ one False 0o27",
        "['0', '1', '2'] 1 typed",
        "True SIG_DFL",
        "[]",
    ]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_and_wait_tells(start: Callable[[str], Fork], number: signal.Signals) -> None:
    program = start("import time\nwhile True: time.sleep(0.05)")  # `pause` misses a signal that came just before
    assert program.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        program.wait(0.05)
    if number == signal.SIGINT:
        program.send_signal(signal.SIGSTOP)  # a program that is stopped has not ended
        assert program.poll() is None
        program.send_signal(signal.SIGCONT)
    program.send_signal(number)
    assert program.wait(60) == program.poll() == program.returncode == -number
    program.kill()  # as Popen, it does nothing now


@pytest.mark.parametrize(
    ("ending", "status"),
    [("os._exit(5)", 5), ("os.kill(os.getpid(), 9)", -9), ("1 / 0", 1), ("sys.exit('no')", 1), ("", 0)],
)
def test_it_ends_itself(start: Callable[[str], Fork], ending: str, status: int) -> None:
    assert start(f"import os, sys\n{ending}").wait(60) == status


def test_a_child_of_a_fork_does_not_delay_its_end(start: Callable[[str], Fork], tmp_path: Path) -> None:
    program = start(
        "import subprocess\nchild = subprocess.Popen(['sleep', '600'])\nprint(child.pid, subprocess.call('false'))"
    )
    assert program.wait(60) == 0
    pid, status = map(int, (tmp_path / "out").read_text().split())
    os.kill(pid, signal.SIGKILL)
    assert status == 1
