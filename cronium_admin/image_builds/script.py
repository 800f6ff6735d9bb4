"""From a recipe to the shell script of its build, which the run page shows. Pure: it contains no credential."""

import itertools
import shlex
from functools import lru_cache
from pathlib import Path

from cronium_admin.image_builds.dockerfile.parse import parse_dockerfile
from cronium_admin.image_builds.dockerfile.script import build_steps
from cronium_admin.image_builds.recipe import Recipe

_FOLDER = Path(__file__).with_name("shell")
_MAX_TITLE = 60


def build_script(name: str, number: int, recipe: Recipe) -> str:
    """The script that turns the base image's root into version `number` of the image `name`."""
    variables, own_steps = _build_own_steps(recipe)
    settings = ["trust_ca", "if has apt-get; then configure_apt; else configure_apk; fi"]
    steps = [
        ("settings of the mirrors", [*settings, *(["lend_apk_repositories"] if recipe.dockerfile else [])]),
        *own_steps,
        ("list of the packages", ["list_packages"]),
        ("check of the packages", ["check_packages"]),
        ("removal of caches and setuid bits", ["clean_up"]),
    ]
    lines = [
        "#!/usr/bin/env bash",
        f"# Builds the image cronium/custom/{name}:{number}. The container's root becomes the image.",
        *variables,
        f"STEPS={len(steps)}",
        _read_file("begin.sh").rstrip(),
        *([_read_file("dockerfile.sh").rstrip()] if recipe.dockerfile else []),
        "",
        *_write_file("fetch_pip.py", '"$CONF/fetch_pip.py"', is_needed=bool(recipe.python)),
        *_write_file("fetch_npm.js", '"$CONF/fetch_npm.js"', is_needed=bool(recipe.node)),
    ]
    for index, (title, commands) in enumerate(steps, 1):
        lines += [f"step {index} {shlex.quote(title)}", *commands]
    return "\n".join([*lines, "echo DONE", ""])


def _build_own_steps(recipe: Recipe) -> tuple[list[str], list[tuple[str, list[str]]]]:
    """Commands for the beginning of the script, and the steps of the recipe."""
    if not recipe.dockerfile:
        steps = [(_make_title(step), _write_step(step)) for step in recipe.steps]
        return [], [*_build_package_steps(recipe), *steps]
    variables, steps = build_steps(parse_dockerfile(recipe.dockerfile))
    return variables, [*steps, ("end of the Dockerfile", ["restore_apk_repositories"])]


def _build_package_steps(recipe: Recipe) -> list[tuple[str, list[str]]]:
    steps = []
    if recipe.system:
        steps.append(("system packages", [f"install_system {shlex.join(recipe.system)}"]))
    if recipe.python:
        requirements = f"printf '%s\\n' {shlex.join(recipe.python)} >\"$CONF/requirements.txt\""
        commands = ["find_pip", requirements, '"${PIP[@]}" install -r "$CONF/requirements.txt"']
        steps.append(("Python packages", commands))
    if recipe.node:
        steps.append(("npm packages", ["find_npm", f"install_node {shlex.join(recipe.node)}"]))
    return steps


def _make_title(step: str) -> str:
    line = step.strip().splitlines()[0]
    return line if len(line) <= _MAX_TITLE else f"{line[: _MAX_TITLE - 1]}…"


def _write_step(step: str) -> list[str]:
    # A shell of its own: its directory, variables and options do not reach the next step.
    mark, file = _make_delimiter(step), '"$CONF/step.sh"'
    return [f"cat >{file} <<'{mark}'", step, mark, f"(cd / && bash -eu -o pipefail {file} </dev/null)"]


def _write_file(name: str, target: str, *, is_needed: bool) -> list[str]:
    if not is_needed:
        return []
    text = _read_file(name).rstrip()
    mark = f"END_OF_{name.partition('.')[0].upper()}"
    return [f"cat >{target} <<'{mark}'", text, mark]


def _make_delimiter(text: str) -> str:
    numbers = itertools.count(1)
    return next(mark for number in numbers if (mark := f"END_OF_STEP_{number}") not in text)


@lru_cache
def _read_file(name: str) -> str:
    return (_FOLDER / name).read_text()
