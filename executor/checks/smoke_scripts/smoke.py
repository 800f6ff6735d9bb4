"""Runs inside the image: imports the packages of SMOKE_IMPORTS, and prints the checks as JSON."""

import importlib
import json
import os
import stat
from collections.abc import Callable
from importlib import metadata
from typing import Any

rows: list[dict[str, Any]] = []


def check(name: str, step: Callable[..., str], *arguments: str) -> None:
    try:
        found = step(*arguments)
    except BaseException as error:  # noqa: BLE001 - a broken package may also exit
        found = f"{type(error).__name__}: {error}"
    rows.append({"name": name, "passed": not found, "found": found})


def list_modules(package: str) -> list[str]:
    distribution = metadata.distribution(package)
    text = distribution.read_text("top_level.txt")
    names = text.split() if text else []
    for path in distribution.files or () if not names else ():
        first = path.parts[0]
        if len(path.parts) > 1 and path.suffix == ".py" and first.isidentifier():
            names.append(first)
        elif len(path.parts) == 1 and path.suffix in (".py", ".so"):
            names.append(first.partition(".")[0])
    public = [name for name in dict.fromkeys(names) if not name.startswith("_")]
    return [name for name in public if name not in ("tests", "test", "docs", "examples")] or public


def import_package(package: str) -> str:
    problems = []
    for name in list_modules(package):
        try:
            importlib.import_module(name)
            return ""
        except BaseException as error:  # noqa: BLE001
            problems.append(f"{type(error).__name__}: {error}")
    return problems[0] if problems else ""  # without a module: a package of programs or data


def import_helper() -> str:
    import cronium

    return "" if callable(cronium.input) else "the helper has no input()"


def find_setuid() -> str:
    found, device, folders = [], os.stat("/").st_dev, ["/"]
    while folders:
        try:
            entries = list(os.scandir(folders.pop()))
        except OSError:
            continue
        for entry in entries:
            try:
                state = entry.stat(follow_symlinks=False)
            except OSError:
                continue
            if state.st_dev != device:
                continue
            if stat.S_ISDIR(state.st_mode):
                folders.append(entry.path)
            elif stat.S_ISREG(state.st_mode) and state.st_mode & 0o6000:
                found.append(entry.path)
    return f"setuid or setgid files: {', '.join(sorted(found)[:5])}" if found else ""


check("helper", import_helper)
for name in json.loads(os.environ["SMOKE_IMPORTS"]):
    check(f"import {name}", import_package, name)
check("setuid", find_setuid)
print(json.dumps(rows))  # noqa: T201
