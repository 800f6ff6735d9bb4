"""The tools with their settings, as a program that a sandbox runs, and the output of that program. Pure.

The text is hostile: it is in the program as base64, and reaches a tool over standard input or as a file of the sandbox.
"""

import base64
import binascii
import hashlib
import json
from dataclasses import dataclass
from functools import cache

from cronium_admin.images.build_context import SOURCES, compute_sources_digest
from cronium_admin.script_checks.models import Action
from executor.run.script import BOM, is_module, make_file_text

SECONDS = 10  # of one tool
MAX_OUTPUT_BYTES, MAX_ERROR_BYTES = 3_000_000, 20_000
# Errors and likely bugs. No style, no order of imports, no length of lines; docs/scripts.md lists them.
RUFF_RULES = (
    *("E9", "F", "PLE", "B002", "B003", "B005", "B006", "B012", "B015", "B016", "B018", "B020", "B023", "B025", "B029"),
    *("B030", "B031", "B032", "B033", "B035", "B039", "PLW0127", "PLW0128", "PLW0129", "PLW0133", "PLW0711", "PLW1508"),
)
RUFF_IGNORED = ("F401", "F541", "F811", "F841")  # unused names, which do no harm
# Names that the helpers or the job's environment set, and sources that are not in the sandbox.
SHELLCHECK_IGNORED = ("SC1090", "SC1091", "SC2034", "SC2154")
_END = "--"

_COMMANDS = {
    (Action.CHECK, "python"): (
        "run ruff check --isolated --no-cache --quiet --output-format json --target-version py312 "
        f"--select {','.join(RUFF_RULES)} --ignore {','.join(RUFF_IGNORED)} --stdin-filename script.py - <text"
    ),
    (Action.CHECK, "bash"): (
        f"run shellcheck --norc --shell=bash --severity=warning --exclude={','.join(SHELLCHECK_IGNORED)} "
        "--format=json1 --color=never - <text"
    ),
    (Action.CHECK, "node"): (
        # A text without `import` and `export` may still be a module. The other way round, node does not check it.
        "cp text script.js; cp text script.mjs\n"
        "run node --check script.$SUFFIX\n"
        "if [ $code -eq 1 ] && [ $SUFFIX = js ]; then\n"
        "  cp err first; run node --check script.mjs; [ $code -eq 0 ] || cp first err\n"
        "fi"
    ),
    (Action.FORMAT, "python"): "run ruff format --isolated --no-cache --quiet --stdin-filename script.py - <text",
    (Action.FORMAT, "bash"): "run shfmt -ln bash -i 2 -ci - <text",
}
FORMATTED = frozenset(language for action, language in _COMMANDS if action == Action.FORMAT)
_PROGRAM = """\
cd /tmp || exit 1
run() {{ timeout -k 1 {seconds} "$@" >out 2>err; code=$?; }}
SUFFIX={suffix}
base64 -d >text <<'{end}'
{text}
{end}
{command}
echo $code
head -c {output} out | base64
echo {end}
head -c {error} err | base64
echo {end}
"""


@dataclass(frozen=True)
class ToolOutput:
    code: int
    out: str
    err: str


class ToolFailed(Exception):
    """There is no answer of the tool; the text is a sentence for the user."""


@cache
def compute_tools_digest() -> str:
    """Changes with the tools and their settings."""
    parts = [
        _PROGRAM,
        *(f"{key}={value}" for key, value in _COMMANDS.items()),
        compute_sources_digest(SOURCES, "linter"),
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def compute_digest(action: str, language: str, text: str) -> str:
    whole = json.dumps([compute_tools_digest(), action, language, text])
    return hashlib.sha256(whole.encode()).hexdigest()


def build_program(action: str, language: str, text: str) -> str:
    content = make_file_text(language, text) if action == Action.CHECK else text.removeprefix(BOM)
    return _PROGRAM.format(
        seconds=SECONDS,
        suffix="mjs" if language == "node" and is_module(text) else "js",
        end=_END,
        text=base64.encodebytes(content.encode()).decode().rstrip("\n"),
        command=_COMMANDS[Action(action), language],
        output=MAX_OUTPUT_BYTES,
        error=MAX_ERROR_BYTES,
    )


def parse_output(output: bytes) -> ToolOutput:
    """Raises ToolFailed."""
    try:
        first, *rest = output.decode().split("\n")
        end = rest.index(_END)
        out, err = (_read_base64(lines) for lines in (rest[:end], rest[end + 1 : rest.index(_END, end + 1)]))
        result = ToolOutput(int(first), out, err)
    except (ValueError, binascii.Error) as error:
        raise ToolFailed("The tool was stopped: it needed more memory or time than it may use.") from error
    if result.code in (124, 137):
        raise ToolFailed(f"The tool did not finish within {SECONDS} seconds or 512 MB of memory.")
    return result


def _read_base64(lines: list[str]) -> str:
    return base64.b64decode("".join(lines), validate=True).decode("utf-8", "replace")
