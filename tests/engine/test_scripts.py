"""Scripts as people have them, in the images and sandboxes that they really get."""

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
