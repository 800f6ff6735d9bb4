"""A second process on the test's database, which runs Python code and can be frozen and killed."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

from django.db import connection

ROOT = Path(__file__).parents[2]
START = """
import sys
import django
django.setup()
from django.db import connection
connection.settings_dict["NAME"] = sys.argv[1]
def wait():
    print("waiting", flush=True)
    sys.stdin.readline()
"""


class OtherProcess:
    """Runs `code`, which may call `wait()`: it then reports that, and continues after `go_on`."""

    def __init__(self, code: str, data_dir: Path) -> None:
        database: Any = connection.settings_dict
        environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "cronium_admin.settings"}
        self._process = subprocess.Popen(
            [sys.executable, "-c", START + code, str(database["NAME"])],
            env=environment | {"CRONIUM_DATA_DIR": str(data_dir)},
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def read_line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def await_point(self) -> None:
        assert self.read_line() == "waiting"

    def go_on(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def freeze(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(10)

    def __enter__(self) -> "OtherProcess":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.kill()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
