"""Real-world scripts in the real images and sandboxes."""

import pytest

from tests.engine.server import Server

BASH = """\ufeff#!/usr/bin/env -S bash -euo pipefail
if [ "${1-}" ]; then echo "again $1 ${#1}"; exit; fi
type -t cronium_input
cd /tmp
"$0" é
false | true
echo on
"""
PYTHON = """#!/usr/bin/env python3
import cronium, os, sys
print("again", sys.argv[1]) if sys.argv[1:] else os.execv(__file__, [__file__, "now"])
"""


def test_a_windows_script_with_options_calls_itself_and_stops_at_its_error(server: Server) -> None:
    script = BASH.replace("\n", "\r\n")
    slug = server.job(script)
    run = server.ended(server.launch(slug))
    assert (run["status"], run["exit_code"]) == ("failed", 1)
    assert server.text(run["id"]) == "function\nagain é 1\n".encode()
    assert (run["script"], server.client.get(f"/jobs/{slug}").json()["script"]) == (script, script)


def test_a_python_script_becomes_itself(server: Server) -> None:
    run = server.ended(server.run(PYTHON.replace("\n", "\r\n"), "python"))
    assert (run["status"], server.text(run["id"])) == ("succeeded", b"again now\n")


SHOW = """
set -x
env
cronium_output '[1]'
echo "$CRONIUM_EXECUTION_TOKEN" | base64
printf %s "$CRONIUM_EXECUTION_TOKEN" | base64 -w0
url=$CRONIUM_RUNTIME_API/executions/$CRONIUM_EXECUTION_ID/input
curl -sv "$url" -H "Authorization: Bearer $CRONIUM_EXECUTION_TOKEN"
cronium_output "{\\"token\\": \\"$CRONIUM_EXECUTION_TOKEN\\"}"
exec 3</proc/self/environ; cat <&3
printf %s "$CRONIUM_EXECUTION_TOKEN"
"""


def test_the_runs_token_is_in_no_log_and_no_result(server: Server) -> None:
    run = server.ended(server.run(SHOW))
    said = server.text(run["id"])
    assert b"CRONIUM_EXECUTION_TOKEN=***" in said
    assert b"Bearer ***" in said
    assert run["output"] == {"token": "***"}
    assert b"eyJ" not in said
    assert said.count(b"_cronium") == 0
    assert said.count(b"\n+ cronium_output") == 2


MODULE = """import { readFileSync } from "fs";
import cronium, { output } from "cronium";
await output({ same: cronium.output === output, file: readFileSync(process.argv[1], "utf8").length > 9 });
"""


def test_a_module_of_node_runs_with_its_helper(server: Server) -> None:
    run = server.ended(server.run(MODULE, "node"))
    assert (run["status"], run["output"]) == ("succeeded", {"same": True, "file": True}), server.text(run["id"])


PROGRAMS = {
    "bash": "curl -V | grep -o https; jq -n 1; git --version | cut -c1-3; ls /etc/ssl/certs | grep -c '^ca-c'",
    "python": "import requests, sys\nprint(requests.__name__, sys.stdout.encoding, sys.version_info >= (3, 12))",
    "node": "console.log(require('child_process').execSync('git --version; jq -n 1; curl -V').toString())",
}


@pytest.mark.parametrize("language", PROGRAMS)
def test_the_programs_that_scripts_call_are_there(server: Server, language: str) -> None:
    run = server.ended(server.run(PROGRAMS[language], language))
    said = server.text(run["id"]).decode()
    expected = {"bash": "https\n1\ngit\n1\n", "python": "requests utf-8 True\n", "node": "git version "}[language]
    assert run["status"] == "succeeded", said
    assert said.startswith(expected)
