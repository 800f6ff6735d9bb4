"""Checks of hostile texts on a real engine: what they find, what stops them, and that nothing is left over."""

import uuid
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import ip_network
from typing import Any

import docker
import pytest

from cronium_admin.script_checks.findings import read_formatted, read_problems
from cronium_admin.script_checks.tools import ToolFailed, ToolOutput, build_program, parse_output
from cronium_admin.workers.own_engine import make_own_engine
from cronium_admin.workers.script_checks import find_linter
from executor.checks.tool_run import ToolSettings, run_tool
from executor.docker.client import Engine
from executor.sandbox.subnets import SubnetPool
from tests.engine.server import SUBNET_POOL, Server

INSTANCE = f"lint-{uuid.uuid4().hex[:8]}"


@pytest.fixture(scope="module")
def engine() -> Engine:
    return make_own_engine(4)


@pytest.fixture(scope="module")
def linter(engine: Engine) -> str:
    image = find_linter(engine)
    assert image, "run `manage.py images build` first"
    return image


@pytest.fixture(autouse=True)
def nothing_left(docker_client: docker.APIClient) -> Iterator[None]:
    yield
    kept = {"label": f"cronium.instance={INSTANCE}"}
    assert docker_client.containers(all=True, filters=kept) == []
    assert docker_client.networks(filters=kept) == []


def run_program(engine: Engine, image: str, program: str) -> tuple[str, bytes]:
    settings = ToolSettings(INSTANCE, "east", SubnetPool(ip_network(SUBNET_POOL)))
    result, output = run_tool(engine, image, program, settings)
    return result.status, output


def run_action(engine: Engine, image: str, action: str, language: str, text: str) -> ToolOutput:
    return parse_output(run_program(engine, image, build_program(action, language, text))[1])


@pytest.mark.parametrize(
    ("language", "text", "rules"),
    [
        ("bash", 'for f in $(ls); do echo "$f"; done\n', ["SC2045"]),
        ("bash", "# shellcheck source=/etc/passwd\n. /etc/passwd\ncd /x\n", ["SC2164"]),
        ("bash", '#!/bin/sh -e\nread -r line <<<"$UNKNOWN_NAME"\necho "$line"\n', []),
        ("bash", "# shellcheck disable=SC2164\ncd /x\ncd /y\n", []),
        ("bash", "set -u\n# shellcheck disable=SC2164\ncd /x\ncd /y\n", ["SC2164"]),
        ("bash", "#!/bin/bash\n# shellcheck disable=all\nfor f in $(ls); do cd $f; done\n", []),
        ("python", "def f(x=[]):  # noqa: B006\n    return y\n", ["F821"]),
        ("python", "# ruff: noqa: F821\ndef f(x=[]):\n    return y\n", ["B006"]),
        ("python", "# ruff: noqa\ndef f(x=[]):\n    return y\n", []),
        ("python", "# ruff: noqa\ndef f(:\n", ["invalid-syntax"]),
        ("python", "def f(x=[]):\n    return y\n", ["B006", "F821"]),
        ("python", "import os\nprint('é' 'b')\n", []),
        ("python", "def f(:\n", ["invalid-syntax"]),
        ("node", "const a = ;\n", ["SyntaxError"]),
        ("node", "import fs from 'fs'\nlet a = = 1\n", ["SyntaxError"]),
        ("node", "import fs from 'fs'\nawait fs.promises.stat('/')\n", []),
        ("node", "require('fs').writeFileSync('/tmp/owned', ''); process.exit(3)\n", []),
    ],
)
def test_what_is_found(engine: Engine, linter: str, language: str, text: str, rules: list[str]) -> None:
    problems, _ = read_problems(language, run_action(engine, linter, "check", language, text))
    assert sorted({problem["rule"] for problem in problems}) == rules


@pytest.mark.parametrize(
    ("language", "text", "formatted"),
    [
        ("python", "x =  {'a':1}\n", 'x = {"a": 1}\n'),
        ("bash", "if true;then\necho é\nfi\n", "if true; then\n  echo é\nfi\n"),
        ("python", "x = 1\n", None),
    ],
)
def test_formatting(engine: Engine, linter: str, language: str, text: str, formatted: str | None) -> None:
    assert read_formatted(text, run_action(engine, linter, "format", language, text)) == formatted


@pytest.mark.parametrize("language", ["bash", "python"])
def test_a_broken_text_is_not_formatted(engine: Engine, linter: str, language: str) -> None:
    with pytest.raises(ToolFailed, match="error of syntax"):
        read_formatted("(((", run_action(engine, linter, "format", language, "((("))


@pytest.mark.parametrize("language", ["bash", "python", "node"])
@pytest.mark.parametrize(
    "text",
    ["$(" * 20_000, "x = " + "[" * 50_000, "\x1b]0;title\x07 \u202e\u0000".replace("\u0000", ""), "echo $x\n" * 60_000],
    ids=["nested", "brackets", "control", "huge"],
)
def test_a_hostile_text_ends_within_its_limits(engine: Engine, linter: str, language: str, text: str) -> None:
    problems: list[dict[str, Any]] = []
    with suppress(ToolFailed):  # a sentence for the user
        problems, _ = read_problems(language, run_action(engine, linter, "check", language, text))
    assert all(str(problem["message"]).isprintable() for problem in problems)


def test_the_sandbox_has_no_network_no_root_and_no_script_in_its_settings(engine: Engine, linter: str) -> None:
    """A program in the place of a tool: what a flaw of a tool could do."""
    program = (
        "id -u; cat /proc/self/status | grep -E '^(CapEff|NoNewPrivs|Seccomp):' | tr -s '\\t' ' '\n"
        "ls /sys/class/net; touch /usr/owned 2>/dev/null && echo written\n"
        "timeout 2 bash -c 'echo >/dev/tcp/1.1.1.1/80' 2>/dev/null && echo reached\n"
        "env | grep -i -E 'token|secret'; exit 0\n"
    )
    status, output = run_program(engine, linter, program)
    expected = {"1000", "NoNewPrivs: 1", "CapEff: 0000000000000000", "Seccomp: 2", "lo"}
    assert (status, set(output.decode().splitlines())) == ("succeeded", expected)


@pytest.mark.parametrize(
    ("program", "status"),
    [
        ("yes", "failed"),
        ("sleep 60", "timed_out"),
        (":(){ :|:& };:\nwait", None),
        ("head -c 900M /dev/zero | tail", None),
    ],
    ids=["output", "time", "forks", "memory"],
)
def test_a_bomb_hits_the_limits(engine: Engine, linter: str, program: str, status: str | None) -> None:
    found, output = run_program(engine, linter, program)
    assert len(output) < 20_000_000
    assert status is None or found == status


def test_a_server_answers_over_the_api(server: Server) -> None:
    """From the request over the row and the wake-up to the host and back."""
    body = {"language": "bash", "script": "cd /nowhere\n"}

    def ask() -> dict[str, object]:
        return dict(server.call("POST", "/scripts/check", body))

    server.until(lambda: ask()["state"] == "done")
    assert [problem["rule"] for problem in server.call("POST", "/scripts/check", body)["problems"]] == ["SC2164"]
