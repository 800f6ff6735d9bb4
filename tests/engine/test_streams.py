"""Merged streams: one pipe, the exact order, and every line is stdout, also those of the interpreters."""

import pytest

from tests.engine.server import Server

PAIRS = 500
BASH = f"for n in $(seq {PAIRS}); do echo out $n; echo err $n >&2; done; nosuchcommand; exit 3"
PYTHON = f"""
import subprocess, sys
for n in range(1, {PAIRS} + 1):
    print("out", n)
    print("err", n, file=sys.stderr)
subprocess.run(["sh", "-c", "echo child out; echo child err >&2"])
print("last")
raise KeyError("traceback")
"""
NODE = f"""
for (let n = 1; n <= {PAIRS}; n += 1) {{ console.log("out", n); console.error("err", n); }}
console.log("last");
throw new Error("traceback");
"""
ENDS = {"bash": "nosuchcommand: command not found", "python": "KeyError: 'traceback'", "node": "Error: traceback"}
SCRIPTS = {"bash": BASH, "python": PYTHON, "node": NODE}


@pytest.mark.parametrize(
    ("language", "first_line"),
    [("bash", ""), ("python", ""), ("python", "#!/usr/bin/python3 -I\n"), ("node", "")],  # -I: no PYTHONUNBUFFERED
)
def test_the_order_is_exact_and_all_is_stdout(server: Server, language: str, first_line: str) -> None:
    script = first_line + SCRIPTS[language]
    run_id = server.run(script, language, streams="merged")
    run = server.ended(run_id)
    assert (run["status"], run["streams"]) == ("failed", "merged")
    lines = server.call("GET", f"/runs/{run_id}/logs?limit=5000")["lines"]
    assert {line["stream"] for line in lines} == {"stdout"}
    said = [line["text"] for line in lines]
    assert said[: 2 * PAIRS] == [f"{word} {n}" for n in range(1, PAIRS + 1) for word in ("out", "err")]
    assert ENDS[language] in "\n".join(said[2 * PAIRS :])
    if language == "python":
        assert said[2 * PAIRS : 2 * PAIRS + 3] == ["child out", "child err", "last"]
    if language == "bash":
        assert "The command nosuchcommand is not in the image" in run["message"]


def test_separate_streams_keep_their_names(server: Server) -> None:
    run_id = server.run(BASH)
    server.ended(run_id)
    lines = server.call("GET", f"/runs/{run_id}/logs?limit=5000")["lines"]
    for stream, word in (("stdout", "out"), ("stderr", "err")):
        of = [line["text"] for line in lines if line["stream"] == stream][:PAIRS]
        assert of == [f"{word} {n}" for n in range(1, PAIRS + 1)]


def test_a_first_line_that_asks_for_nothing_we_have_is_stdout_too(server: Server) -> None:
    run_id = server.run("#!/opt/none/lua\nprint('no')", streams="merged")
    assert server.ended(run_id)["exit_code"] == 127
    [line] = server.call("GET", f"/runs/{run_id}/logs")["lines"]
    assert (line["stream"], "which this image does not have" in line["text"]) == ("stdout", True)
