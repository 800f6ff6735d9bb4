"""Runs commands of manage.py in forks of a process that has imported the libraries: their import is most of the CPU
time of a command. Cronium's modules and Django's settings are imported after the fork, so that each command reads its
own environment and data folder, as a new process does.
"""

import atexit
import functools
import gc
import importlib
import json
import os
import runpy
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
# Modules that can be imported without Django's settings.
LIBRARIES = (
    *("django.contrib.auth", "django.core.cache.backends.locmem", "django.core.management", "django.core.serializers"),
    *("django.core.servers.basehttp", "django.db.backends.sqlite3.base", "django.db.migrations.executor"),
    *("django.template.backends.django", "django.template.defaulttags", "django.template.loader", "django.test"),
    *("django.views.generic", "celery", "cryptography.fernet", "docker", "jwt", "prometheus_client", "psutil"),
    *("psycopg", "pydantic_settings", "pythonjsonlogger.json", "redis", "servestatic.middleware", "sqlparse"),
    *("tenacity",),
)


def run_command(
    arguments: tuple[str, ...], env: dict[str, str], umask: int, input_text: str | None, prefix: tuple[str, ...] = ()
) -> "subprocess.CompletedProcess[str]":
    """As `subprocess.run` of `manage.py` from the root of the project. `prefix` is a program that executes another."""
    with tempfile.TemporaryDirectory(prefix="command") as folder:
        stdin, stdout, stderr = (Path(folder) / name for name in ("stdin", "stdout", "stderr"))
        stdin.write_text(input_text or "")
        files = [str(path) for path in (stdin, stdout, stderr)]
        request = {"arguments": arguments, "env": env, "umask": umask, "files": files}
        parent = _start_parent(prefix)
        assert parent.stdin is not None
        assert parent.stdout is not None
        parent.stdin.write(json.dumps(request) + "\n")
        parent.stdin.flush()
        status = int(parent.stdout.readline())
        return subprocess.CompletedProcess(["manage.py", *arguments], status, stdout.read_text(), stderr.read_text())


@functools.cache
def _start_parent(prefix: tuple[str, ...]) -> "subprocess.Popen[str]":
    command = [*prefix, sys.executable, "-m", "tests.unit.forked_commands"]
    plain = {name: value for name, value in os.environ.items() if not name.startswith("CRONIUM_")}
    parent = subprocess.Popen(command, cwd=ROOT, env=plain, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    atexit.register(parent.communicate)  # closes its input, which ends it
    return parent


def _become_command(request: dict[str, Any]) -> None:
    """The environment, the umask and the files of a new process; the rest of this process is the command's."""
    for place, (path, flags) in enumerate(zip(request["files"], _OPEN_FLAGS, strict=True)):
        file = os.open(path, flags, 0o600)
        os.dup2(file, place)
        os.close(file)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115 - the other one may have read ahead
    os.environ.clear()
    os.environ.update(request["env"])
    os.umask(request["umask"])
    sys.argv = ["manage.py", *request["arguments"]]


_WRITE = os.O_WRONLY | os.O_CREAT
_OPEN_FLAGS = (os.O_RDONLY, _WRITE, _WRITE)


def _run_requests() -> None:
    for name in LIBRARIES:
        importlib.import_module(name)
    from django.conf import settings

    assert not settings.configured
    assert not [name for name in sys.modules if name.startswith(("cronium_admin", "executor"))]
    gc.freeze()
    while line := sys.stdin.readline():
        if (child := os.fork()) == 0:
            _become_command(json.loads(line))
            runpy.run_path("manage.py", run_name="__main__")
            return
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    _run_requests()
