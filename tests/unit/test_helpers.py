"""The helpers of the three languages with a real sidecar in this process, and outside a container."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.unit.test_sidecar import CONTEXT, RUN, TOKEN, Sidecar, start

IMAGES = Path(__file__).resolve().parents[2] / "images"
VALUES = [0, False, "", None, [], {}, 1.5, 'é 🦊 "quoted" $HOME `id` \\ \'\n\t', {"output": 1}, [[], {"a": None}]]
LANGUAGES = [
    "bash",
    "python",
    pytest.param("node", marks=pytest.mark.skipif(not shutil.which("node"), reason="no node")),
]


@dataclass(frozen=True)
class Result:
    """The exit code and output of a script."""

    code: int
    out: str
    err: str


def command(language: str, script: str) -> list[str]:
    """The command that runs the script with its language's helper, as in the image."""
    if language == "bash":
        return ["bash", "-c", f"set -euo pipefail; source {IMAGES}/bash/cronium.sh\n{script}"]
    if language == "python":
        return [
            sys.executable,
            "-c",
            f"import sys; sys.path.insert(0, {str(IMAGES / 'python')!r})\nimport cronium, json\n{script}",
        ]
    body = f"const cronium = require('{IMAGES}/node/cronium.js');\n(async () => {{ {script} }})()"
    return ["node", "-e", body + ".catch((e) => { console.error(e.name + ': ' + e.message); process.exit(1); })"]


async def run(language: str, script: str, env: dict[str, str], stdin: bytes = b"") -> Result:
    process = await asyncio.create_subprocess_exec(
        *command(language, script),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={"PATH": os.environ["PATH"], "PYTHONUTF8": "1", **env},
    )
    out, err = await asyncio.wait_for(process.communicate(stdin), 30)
    return Result(process.returncode or 0, out.decode(), err.decode())


def environment(sidecar: Sidecar) -> dict[str, str]:
    return {
        "CRONIUM_RUNTIME_API": f"http://127.0.0.1:{sidecar.port}",
        "CRONIUM_EXECUTION_ID": RUN,
        "CRONIUM_EXECUTION_TOKEN": TOKEN,
    }


Run = Callable[..., Any]


@pytest.fixture
async def inside() -> AsyncIterator[tuple[Sidecar, Run]]:
    """A sidecar, and `run` with an environment for it."""
    sidecar = await start(input=VALUES)

    async def bound(language: str, script: str, stdin: bytes = b"", **changes: str) -> Result:
        return await run(language, script, {**environment(sidecar), **changes}, stdin)

    yield sidecar, bound
    for part in sidecar.keep:  # type: ignore[attr-defined]
        getattr(part, "cancel", getattr(part, "close", None))()


PRINT_INPUT = {
    "bash": "cronium_input",
    "python": "print(json.dumps(cronium.input()))",
    "node": "console.log(JSON.stringify(await cronium.input()))",
}
PRINT_EVENT = {
    "bash": "cronium_event",
    "python": "print(json.dumps(cronium.event()))",
    "node": "console.log(JSON.stringify(await cronium.event()))",
}


@pytest.mark.parametrize("language", LANGUAGES)
async def test_input_and_event_come_as_they_are(inside: tuple[Sidecar, Run], language: str) -> None:
    _, run_inside = inside
    for script, expected in [(PRINT_INPUT, VALUES), (PRINT_EVENT, CONTEXT)]:
        result = await run_inside(language, script[language])
        assert (result.code, result.err) == (0, "")
        assert json.loads(result.out) == expected


def output_script(language: str, value: Any) -> str:
    text = json.dumps(value)
    if language == "bash":
        return "cronium_output '" + text.replace("'", "'\\''") + "'"
    if language == "python":
        return f"cronium.output(json.loads({text!r}))"
    return f"await cronium.output({text})"


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("value", VALUES, ids=repr)
async def test_output_arrives_as_it_was_given(inside: tuple[Sidecar, Run], language: str, value: Any) -> None:
    sidecar, run_inside = inside
    result = await run_inside(language, output_script(language, value))
    assert result == Result(0, "", "")
    assert [message["body"]["output"] for message in sidecar.worker.asked] == [value]


async def test_bash_takes_an_output_on_standard_input(inside: tuple[Sidecar, Run]) -> None:
    sidecar, run_inside = inside
    assert (await run_inside("bash", "cronium_output", b'{"a":\n [1]}')).code == 0
    assert sidecar.worker.asked[-1]["body"]["output"] == {"a": [1]}


async def test_bash_prints_one_field_without_quotes(inside: tuple[Sidecar, Run]) -> None:
    _, run_inside = inside
    script = "for f in job attempt empty off parent; do cronium_event $f; done"
    assert await run_inside("bash", script) == Result(0, "héllo\n0\n\nfalse\nnull\n", "")


async def test_bash_can_not_be_tricked_by_an_output_that_is_no_json(inside: tuple[Sidecar, Run]) -> None:
    sidecar, run_inside = inside
    result = await run_inside("bash", """cronium_output '1, "other": 2' || exit $?""")
    assert result.code == 4
    assert "BAD_JSON" in result.err
    assert sidecar.worker.asked == []


async def test_a_call_leaves_the_job_as_it_was(inside: tuple[Sidecar, Run]) -> None:
    _, run_inside = inside
    # The shell closes its end of a substitution's pipe a moment after it has begun it.
    state = "$(set -o; trap; locale 2>/dev/null; sleep 0.2; ls /proc/$$/fd)"
    script = f'before={state}; cronium_input >/dev/null\n[ "$before" = "{state}" ]'
    assert (await run_inside("bash", script)).code == 0


async def test_other_languages_read_one_field(inside: tuple[Sidecar, Run]) -> None:
    _, run_inside = inside
    assert (await run_inside("python", "assert cronium.event('off') is False")).code == 0
    if shutil.which("node"):
        assert (await run_inside("node", "if (await cronium.event('off') !== false) throw 1")).code == 0


LARGE = {
    "bash": 'v=$(printf \'%0{n}d\' 0); cronium_output "\\"$v\\""',
    "python": "cronium.output('0' * {n})",
    "node": "await cronium.output('0'.repeat({n}))",
}


@pytest.mark.parametrize("language", LANGUAGES)
async def test_five_mib_pass_and_more_is_refused_here(inside: tuple[Sidecar, Run], language: str) -> None:
    sidecar, run_inside = inside
    fits = 5 * 1024 * 1024 - 20
    assert await run_inside(language, LARGE[language].replace("{n}", str(fits))) == Result(0, "", "")
    assert sidecar.worker.asked[-1]["body"]["output"] == "0" * fits
    result = await run_inside(language, LARGE[language].replace("{n}", str(fits + 100)))
    assert result.code == 1
    assert "5242880 are allowed" in result.err
    assert len(sidecar.worker.asked) == 1


REFUSED = {
    "bash": "cronium_get_variable 'a b/ü' || { echo $?; exit; }",
    "python": "try: cronium.get_variable('a b/ü')\nexcept cronium.CroniumAPIError as e: print(e.status, e.code)",
    "node": "try { await cronium.getVariable('a b/ü') } catch (e) { console.log(e.status, e.code, e.name) }",
}


@pytest.mark.parametrize(
    ("language", "out"),
    [
        ("bash", "4\n"),
        ("python", "400 BAD_KEY\n"),
        pytest.param("node", "400 BAD_KEY CroniumAPIError\n", marks=LANGUAGES[2].marks),
    ],  # type: ignore[union-attr]
)
async def test_a_no_carries_its_status(inside: tuple[Sidecar, Run], language: str, out: str) -> None:
    _, run_inside = inside
    result = await run_inside(language, REFUSED[language])
    assert (result.code, result.out) == (0, out)
    assert language != "bash" or "status 400" in result.err


@pytest.mark.parametrize("language", LANGUAGES)
async def test_it_says_when_nobody_listens(inside: tuple[Sidecar, Run], language: str) -> None:
    _, run_inside = inside
    result = await run_inside(language, PRINT_INPUT[language], CRONIUM_RUNTIME_API="http://127.0.0.1:9")
    assert result.code != 0
    assert result.out == ""
    assert "can't be reached at http://127.0.0.1:9" in result.err


@pytest.mark.parametrize("language", LANGUAGES)
async def test_outside_a_container_loading_works_and_a_call_says_what_is_missing(language: str) -> None:
    nothing = {"bash": ":", "python": "pass", "node": ""}[language]
    assert await run(language, nothing, {}) == Result(0, "", "")
    result = await run(language, PRINT_INPUT[language], {})
    assert result.code == 1
    assert "CRONIUM_RUNTIME_API is not set: this call works only inside a Cronium container." in result.err


async def test_python_and_node_refuse_what_json_can_not_say() -> None:
    result = await run("python", "cronium.output(float('nan'))", environment(Sidecar(9, None, None)))  # type: ignore[arg-type]
    assert "CroniumError: The value can't be written as JSON" in result.err
    if shutil.which("node"):
        env = environment(Sidecar(9, None, None))  # type: ignore[arg-type]
        assert "CroniumError: undefined can't" in (await run("node", "await cronium.output(undefined)", env)).err


ODD_SHELLS = {
    "trace": "set -x",
    "trace and verbose": "set -xv",
    "trace of functions": "set -xETe; trap ': never' DEBUG; trap : ERR",
    "strict": "set -euo pipefail",
    "posix": "set -o posix",
    "no globs, no clobber": "set -fC; shopt -s nocasematch failglob nullglob 2>/dev/null",
    "separators": "IFS=/:.0123456789",
    "read-only names": "readonly name host port path body line key data status method place result text at hex _cr=1",
    "other types": "declare -i name body data line; declare -u method path; declare -A host",
    "functions of its own": "cat() { echo mine; }; printf() { echo mine; }; read() { false; }; exit() { echo mine; }",
    "aliases": "shopt -s expand_aliases; alias cat='echo mine' printf='echo mine' local=false",
    "descriptors": "exec 3</dev/null 4<&0",
    "locale": "export LC_ALL=C.UTF-8",
}  # fmt: skip


@pytest.mark.parametrize("name", ODD_SHELLS)
async def test_bash_helpers_work_however_the_shell_is_set(inside: tuple[Sidecar, Run], name: str) -> None:
    sidecar, run_inside = inside
    script = f"""set +euo pipefail
{ODD_SHELLS[name]}
before=$-
cronium_output '{{"é": [1]}}'
field=$(cronium_context job)
cronium_get_variable 'ü b' >/dev/null || [ $? = 4 ]
[ "$before" = "$-" ] && builtin printf '%s\\n' "$field"
"""
    result = await run_inside("bash", script)
    assert (result.code, result.out) == (0, "héllo\n"), result.err
    assert sidecar.worker.asked[0]["body"]["output"] == {"é": [1]}
    assert TOKEN not in result.err
    assert "_cr" not in result.err.replace("_cr=1", "")


async def test_a_trace_shows_a_call_and_nothing_of_the_helper(inside: tuple[Sidecar, Run]) -> None:
    _, run_inside = inside
    result = await run_inside("bash", "set -x\ncronium_output '[1]'\ncronium_context job\n:")
    assert result.err == "+ cronium_output '[1]'\n+ cronium_context job\n+ :\n"


def test_loading_it_shows_nothing_of_it_either() -> None:
    for options, most in [("-x", 0), ("-v", 1), ("-xv", 1), ("-euxo pipefail", 0)]:
        done = subprocess.run(
            ["bash", *options.split(), "-c", "cronium_input 2>/dev/null || exit 3"],
            env={"PATH": os.environ["PATH"], "BASH_ENV": f"{IMAGES}/bash/cronium.sh"},
            capture_output=True,
            text=True,
        )
        said = [line for line in done.stderr.splitlines() if "cronium_input 2>" not in line]
        assert done.returncode == 3
        assert len([line for line in said if "_cronium" in line or line.startswith("#")]) <= most, done.stderr


@pytest.mark.parametrize("language", LANGUAGES)
async def test_context_is_event(inside: tuple[Sidecar, Run], language: str) -> None:
    _, run_inside = inside
    result = await run_inside(language, PRINT_EVENT[language].replace("event", "context"))
    assert json.loads(result.out) == CONTEXT


def test_python_tells_the_name_that_was_meant() -> None:
    code = f"import sys; sys.path.insert(0, {str(IMAGES / 'python')!r})\nimport cronium\n"
    for name, meant in [
        ("get_input", "input"),
        ("set_output", "output"),
        ("getVariable", "get_variable"),
        ("imput", "input"),
    ]:
        done = subprocess.run([sys.executable, "-c", code + f"cronium.{name}"], capture_output=True, text=True)
        assert f"did you mean cronium.{meant}()?" in done.stderr, done.stderr
    done = subprocess.run(
        [sys.executable, "-c", code + "print(hasattr(cronium, '__path__'), hasattr(cronium, 'xyz'))"],
        capture_output=True,
        text=True,
    )
    assert done.stdout == "False False\n"
