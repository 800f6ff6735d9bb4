"""From a parsed Dockerfile to the steps of a build's script. Pure.

A variable NAME of the Dockerfile is the shell variable ENV_NAME, and the base image's own value of it BASE_NAME: no
variable of a Dockerfile changes how the script itself runs.
"""

import itertools
import shlex
from collections.abc import Iterable

from cronium_admin.image_builds.dockerfile.model import (
    Copy,
    Dockerfile,
    Env,
    Ignored,
    Instruction,
    Label,
    RunCommand,
    User,
    Workdir,
    is_set_by_build,
)
from cronium_admin.image_builds.dockerfile.words import Word, format_shell

Step = tuple[str, list[str]]
# Variables of the script itself. If the base image has variables of these names, commands get the image's values.
OF_SCRIPT = (
    *("current", "STEPS", "GIVEN", "CONF", "WORK", "MODULES", "CA", "OWN_CA", "PIP", "NPM", "APK_OPTIONS", "NAMES"),
    *("IMAGE_DIR", "USER_NAME", "USER_ID", "GROUP_ID", "USER_HOME", "SWITCH"),
)
_KEEP_INHERITED = (
    f"INHERITED=(); for name in {' '.join(OF_SCRIPT)}; do"
    ' [ -z "${!name+x}" ] || INHERITED+=("$name=${!name}"); done'
)


def build_steps(dockerfile: Dockerfile) -> tuple[list[str], list[Step]]:
    """What the script does at its very beginning, and a step for each instruction: its title and its commands."""
    writer = _Writer()
    steps = [
        (f"{instruction.title} (line {instruction.line})", writer.write(instruction))
        for instruction in dockerfile.instructions
    ]
    names = sorted(name for name in writer.of_base if not is_set_by_build(name))
    return [_KEEP_INHERITED, *(f'[ -z "${{{name}+x}}" ] || BASE_{name}=${name}' for name in names)], steps


class _Writer:
    def __init__(self) -> None:
        self.of_base: set[str] = set()  # the names whose value in the base image the script reads
        self._variables: set[str] = set()  # of ENV
        self._arguments: set[str] = set()  # of ARG, with a value

    def write(self, instruction: Instruction) -> list[str]:
        if isinstance(instruction, Env):
            return self._write_arguments(instruction) if instruction.is_argument else self._write_variables(instruction)
        if isinstance(instruction, RunCommand):
            return _write_run(instruction)
        if isinstance(instruction, Copy):
            return self._write_copy(instruction)
        if isinstance(instruction, Workdir):
            return [f"enter_directory {self._format(instruction.path)}"]
        if isinstance(instruction, User):
            return [f"use_user {self._format(instruction.name)}"]
        if isinstance(instruction, Ignored) and instruction.reason:
            keyword = instruction.title.split()[0]
            return [f"echo {shlex.quote(f'{keyword} is ignored: {instruction.reason}')}"]
        return [":"] if isinstance(instruction, (Label, Ignored)) else []

    def _format(self, word: Word) -> str:
        return format_shell(word, self._find_shell_name)

    def _find_shell_name(self, name: str) -> str:
        if name in self._variables | self._arguments:
            return f"ENV_{name}"
        if is_set_by_build(name):
            return ""
        self.of_base.add(name)
        return f"BASE_{name}"

    def _write_variables(self, instruction: Env) -> list[str]:
        # All values are read before the first one is set.
        lines = [f"set -- {' '.join(self._format(word) for _, word in instruction.pairs if word is not None)}"]
        names = [name for name, _ in instruction.pairs]
        lines += [f"ENV_{name}=${{{number}}}" for number, name in enumerate(names, 1)]
        lines += self._write_names(names)
        self._variables |= set(names)
        return lines

    def _write_arguments(self, instruction: Env) -> list[str]:
        # A variable of the same name wins, also one of the base image.
        lines = []
        for name, word in instruction.pairs:
            if word is None or name in self._variables:
                continue
            value = self._format(word)
            if is_set_by_build(name):
                lines.append(f"ENV_{name}={value}")
            else:
                self.of_base.add(name)
                lines.append(f'ENV_{name}="${{BASE_{name}-$(printf %s {value})}}"')
            lines += self._write_names([name])
            self._arguments.add(name)
        return lines or [":"]

    def _write_names(self, names: Iterable[str]) -> list[str]:
        new = [name for name in dict.fromkeys(names) if name not in self._variables | self._arguments]
        return [f"NAMES+=({' '.join(new)})"] if new else []

    def _write_copy(self, instruction: Copy) -> list[str]:
        target, owner = self._format(instruction.target), self._format(instruction.owner)
        options = f"{target} {instruction.mode} {owner}"
        return [
            f"printf %s {self._format(text)} | copy_file {shlex.quote(name)} {options}"
            for name, text in instruction.files
        ]


def _write_run(instruction: RunCommand) -> list[str]:
    if not instruction.script:
        return [f"(execute {shlex.join(instruction.command)})"]
    mark = _make_delimiter(instruction.script)
    file, text = '"$CONF/run"', instruction.script.removesuffix("\n")
    return [f"cat >{file} <<'{mark}'", text, mark, f"chmod 755 {file}", f"(execute {file})"]


def _make_delimiter(text: str) -> str:
    numbers = itertools.count(1)
    return next(mark for number in numbers if (mark := f"END_OF_RUN_{number}") not in text)
