"""manage.py in a separate process, whose output another program reads."""

import os
import select
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WAITS_AFTER_A_LINE = "import sys; print('ready'); sys.stdin.read()"


def test_a_line_reaches_a_pipe_while_the_command_goes_on(tmp_path: Path) -> None:
    """`make up | tee FILE` shows the progress of the images, the address and the first password at once."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with subprocess.Popen(
        [sys.executable, "manage.py", "shell", "--no-imports", "-c", WAITS_AFTER_A_LINE],
        cwd=ROOT,
        env=environment | {"CRONIUM_DATA_DIR": str(tmp_path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            readable, _, _ = select.select([process.stdout], [], [], 60)
            assert readable, "nothing came before the command's end"
            assert process.stdout.readline() == "ready\n"
        finally:
            process.stdin.close()
            process.kill()
