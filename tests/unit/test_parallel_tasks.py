"""scripts/parallel.sh: complete outputs, the exit status, and no process left after a signal."""

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = """
set -euo pipefail
. scripts/lib.sh
. scripts/parallel.sh
trap stop_tasks EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
"""
GOOD = "start_task good sh -c 'echo one; sleep 0.3; echo two'\n"
BAD = "start_task suites/bad sh -c 'echo FAILED tests/a.py::test_b; exit 3'\n"
END = 'print_failures\n[ "${#failed_tasks[@]}" = 0 ] || die "failed: ${failed_tasks[*]}"\n'
# Prints that it runs, and cleans up when it is interrupted.
SLOW = (
    "start_task slow python3 -c 'import time\n"
    'try: open("started", "w").close(); time.sleep(60)\n'
    'except KeyboardInterrupt: print("cleared up")\'\n'
)


def start(script: str, folder: Path) -> "subprocess.Popen[str]":
    script = SCRIPT.replace(". scripts/", f". {ROOT}/scripts/") + script
    env = {**os.environ, "TMPDIR": str(folder)}
    pipe = subprocess.PIPE
    return subprocess.Popen(
        ["bash", "-c", script], cwd=folder, env=env, stdout=pipe, stderr=subprocess.STDOUT, text=True
    )


def test_each_output_is_whole_and_failures_are_repeated_at_the_end(tmp_path: Path) -> None:
    process = start(GOOD + BAD + "wait_tasks good suites/bad\n" + END, tmp_path)
    output = process.communicate(timeout=30)[0]
    assert process.returncode == 1
    assert re.search(r"good: passed after \d+ s\none\ntwo\n", output)
    assert "suites/bad: FAILED with exit status 3" in output
    lines = output.splitlines()
    assert lines[-3:] == [
        "cronium: failures of suites/bad:",
        "FAILED tests/a.py::test_b",
        "cronium: failed: suites/bad",
    ]
    assert not list(tmp_path.iterdir()), "the files of the tasks are removed"


def test_it_succeeds_when_all_tasks_do(tmp_path: Path) -> None:
    process = start(GOOD + "X=kept start_task env sh -c 'echo $X'\nwait_tasks good env never-started\n" + END, tmp_path)
    output = process.communicate(timeout=30)[0]
    assert (process.returncode, "\nkept\n" in output) == (0, True)


def test_a_task_that_ends_while_others_are_waited_for_is_reported(tmp_path: Path) -> None:
    script = BAD + "start_task slow sh -c 'sleep 2'\nwait_tasks slow\necho next\nwait_tasks suites/bad\n" + END
    process = start(script, tmp_path)
    output = process.communicate(timeout=30)[0]
    assert (process.returncode, output.count("suites/bad: FAILED")) == (1, 1)
    assert output.index("suites/bad: FAILED") < output.index("slow: passed") < output.index("next")


def test_the_first_end_is_waited_for(tmp_path: Path) -> None:
    process = start(GOOD + SLOW + 'wait_any slow good\nis_running slow && echo "slow runs"\n', tmp_path)
    output = process.communicate(timeout=30)[0]
    assert process.returncode == 0
    assert output.index("good: passed") < output.index("slow runs")


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_interrupts_the_tasks_and_waits_for_them(tmp_path: Path, number: signal.Signals, status: int) -> None:
    process = start(SLOW + "wait_tasks slow\n", tmp_path)
    while not (tmp_path / "started").exists():
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(number)
    output = process.communicate(timeout=30)[0]
    assert (process.returncode, "cleared up\n" in output) == (status, True)
    assert [path.name for path in tmp_path.iterdir()] == ["started"]
