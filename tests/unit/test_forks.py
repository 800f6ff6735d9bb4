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
print("cronium_admin.web.urls" in sys.modules, "cronium_admin.settings" in sys.modules)
from django.conf import settings
from django.db import connection, connections
print(settings.configured, "settings" in vars(connections))
import django; django.setup()
print(settings.DATA_DIR, settings.AXES_ENABLED, connection.settings_dict["NAME"])
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
    env = {"CRONIUM_HOST_NAME": "one", "CRONIUM_DATA_DIR": str(tmp_path)}
    env |= {"DJANGO_SETTINGS_MODULE": "cronium_admin.settings", "CRONIUM_SECRET_KEY": "k" * 50}
    done = run_python((str(script), "word"), env, umask=0o027, input_text="typed")
    assert (done.returncode, done.stderr) == (7, "")
    assert done.stdout.splitlines() == [
        f"{[str(script), 'word']} __main__ one False 0o27",
        "['0', '1', '2'] 1 typed",
        "True SIG_DFL",
        "True False",
        "False False",
        f"{tmp_path} True {tmp_path}/cronium.sqlite3",
    ]


def test_a_bad_setting_ends_it_as_it_ends_a_new_process(tmp_path: Path) -> None:
    env = {"CRONIUM_DATA_DIR": str(tmp_path), "CRONIUM_PORT": "no port"}
    done = run_python(("manage.py", "check"), env)
    assert done.returncode == 2
    assert "CRONIUM_PORT" in done.stderr


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
