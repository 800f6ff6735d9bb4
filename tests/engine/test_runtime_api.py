"""The runtime API from a script's view, through the helpers of three languages."""

import json
from collections.abc import Iterator
from typing import Any

import docker
import pytest

from tests.engine.server import Server

VALUES: list[Any] = [0, False, "", None, [], {"deep": [1, {"é": "🦊 '\"\n"}]}, 1.5]
ECHO = {
    "bash": 'value=$(cronium_input); cronium_output "$value"; cronium_event job.slug; cronium_event run_id',
    "python": (
        "import cronium\ncronium.output(cronium.input())\nfacts = cronium.event()\n"
        "print(facts['job']['slug'])\nprint(facts['run_id'])"
    ),
    "node": (
        "const c = require('cronium'); (async () => { await c.output(await c.input()); const f = await c.event();"
        " console.log(f.job.slug); console.log(f.run_id) })()"
    ),
}


@pytest.fixture(scope="module", autouse=True)
def late(server: Server) -> str:
    """A run that prints after 32 s, beside the other tests."""
    return server.run("sleep 32; cronium_output '\"late\"'")


@pytest.mark.parametrize("language", ["bash", "python", "node"])
def test_input_goes_in_and_output_comes_out(server: Server, language: str) -> None:
    script = ECHO[language]
    if language == "bash":
        script = 'value=$(cronium_input); cronium_output "$value"; cronium_event'
    slug = server.job(script, language)
    ids = [server.launch(slug, {"input": value}) for value in VALUES]
    for value, run_id in zip(VALUES, ids, strict=True):
        run = server.ended(run_id)
        said = server.text(run_id).decode()
        assert (run["status"], run["output"]) == ("succeeded", value), said
        assert type(run["output"]) is type(value)
        assert slug in said
        assert run_id in said


CONTEXT = {
    "bash": """
[ "$(cronium_context)" = "$(cronium_event)" ]
[ "$(cronium_context run_id)" = "$CRONIUM_RUN_ID" ]
echo "$CRONIUM_LANGUAGE $(cronium_context job | jq -r .slug)"
""",
    "python": """
import asyncio, cronium, os
context = cronium.context()
assert context == cronium.event() == asyncio.run(cronium.aio.context())
assert context["run_id"] == cronium.context("run_id") == os.environ["CRONIUM_RUN_ID"]
print(os.environ["CRONIUM_LANGUAGE"], context["job"]["slug"])
""",
    "node": """
const assert = require("assert"), cronium = require("cronium");
(async () => {
  const context = await cronium.context();
  assert.deepStrictEqual(context, await cronium.event());
  assert.strictEqual(await cronium.context("run_id"), process.env.CRONIUM_RUN_ID);
  console.log(process.env.CRONIUM_LANGUAGE, context.job.slug);
})();
""",
}


@pytest.mark.parametrize("language", ["bash", "python", "node"])
def test_context_and_event_agree_with_the_environment(server: Server, language: str) -> None:
    prefix = "set -e\n" if language == "bash" else ""
    slug = server.job(prefix + CONTEXT[language], language)
    run = server.ended(server.launch(slug))
    assert (run["status"], server.text(run["id"]).decode()) == ("succeeded", f"{language} {slug}\n")


STATUS = """
import json, os, sys, urllib.error, urllib.request
own, token = os.environ["CRONIUM_EXECUTION_ID"], os.environ["CRONIUM_EXECUTION_TOKEN"]
def ask(path, token=token, method="GET", body=None):
    request = urllib.request.Request("http://runtime:8081" + path, data=body, method=method)
    if token: request.add_header("Authorization", "Bearer " + token)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer: return answer.status
    except urllib.error.HTTPError as error: return error.code
"""
REFUSALS = (
    STATUS
    + """
other = "00000000-0000-4000-8000-000000000000"
print(json.dumps([
    ask("/health", None), ask(f"/executions/{own}/input"), ask(f"/executions/{own}/input", None),
    ask(f"/executions/{own}/input", "x" + token), ask(f"/executions/{other}/input"),
    ask(f"/executions/{other}/output", method="POST", body=b'{"output": 1}'), ask(f"/executions/{own}/nothing"),
    ask(f"/executions/{own}/output", method="POST", body=b'{"output": '),
    ask(f"/executions/{own}/output", method="POST", body=b'{"output": "' + b"x" * 5_300_000 + b'"}'),
    ask(f"/executions/{own}/output", method="POST", body=b'{"output": "' + b"x" * 5_000_000 + b'"}'),
]))
"""
)


def test_the_sidecar_refuses_what_is_not_this_runs(server: Server) -> None:
    run = server.ended(server.run(REFUSALS, "python"))
    statuses = json.loads(server.text(run["id"]))
    assert statuses == [200, 200, 401, 401, 403, 403, 404, 400, 413, 200]
    assert len(run["output"]) == 5_000_000


def test_one_runs_token_opens_nothing_of_another(server: Server) -> None:
    """The token of a live run, sent to another run's sidecar."""
    holder = server.run(
        "import os, time; print(os.environ['CRONIUM_EXECUTION_TOKEN'][::-1], flush=True); time.sleep(60)", "python"
    )
    with server.watch(holder) as watch:
        token = watch.until(lambda seen: seen.lines).lines[0][3][::-1]  # as it is, the log masks it
        script = STATUS + (
            "import cronium\ntheirs, stolen = cronium.input()['run'], cronium.input()['token']\n"
            "pairs = (own, stolen), (theirs, stolen), (theirs, token)\n"
            "print(*(ask(f'/executions/{run}/input', shown) for run, shown in pairs))"
        )
        thief = server.ended(server.launch(server.job(script, "python"), {"input": {"token": token, "run": holder}}))
        server.cancel(holder)
        watch.until_end()
    assert server.text(thief["id"]).split() == [b"401", b"401", b"403"]
    assert server.get(holder)["output"] is None


def test_the_last_output_counts_and_a_failing_script_keeps_it(server: Server) -> None:
    run = server.ended(server.run("cronium_output 1; cronium_output '{\"a\": 2}'; exit 3"))
    assert (run["status"], run["exit_code"], run["output"]) == ("failed", 3, {"a": 2})


def test_output_late_in_a_run_still_arrives(server: Server, late: str) -> None:
    """The channel is silent for longer than the time limit of any control call, and works afterwards."""
    run = server.ended(late)
    assert (run["status"], run["output"]) == ("succeeded", "late")


ALL = """
import concurrent.futures, cronium, json
with concurrent.futures.ThreadPoolExecutor(20) as pool:
    list(pool.map(lambda _: cronium.increment_variable("shared/count-KEY"), range(20)))
cronium.set_variable("mine", {"é": [0, False, "", None]})
cronium.set_condition(False)
cronium.output([cronium.get_variable("mine"), cronium.get_variable("nowhere"), cronium.__file__])
"""


def test_a_hundred_increments_at_once_lose_none(server: Server) -> None:
    """Five concurrent runs with twenty threads each."""
    job = server.job(ALL.replace("KEY", "all"), "python", profile="medium")
    for run_id in [server.launch(job) for _ in range(5)]:
        run = server.ended(run_id)
        assert run["status"] == "succeeded", server.text(run_id).decode()
        assert (run["condition"], run["output"][:2]) == (False, [{"é": [0, False, "", None]}, None])
    run = server.ended(server.run('cronium_output "$(cronium_get_variable shared/count-all)"'))
    assert run["output"] == 100


@pytest.fixture
def bare_image(docker_client: docker.APIClient, runner_images: dict[str, str]) -> Iterator[str]:
    """An image with Python and without Cronium's files."""
    tag = "cronium-test/bare:latest"
    made = docker_client.create_container(
        runner_images["python"], ["sh", "-c", "rm -rf /usr/local/lib/python3*/*-packages/cronium*"], user="0"
    )
    docker_client.start(made["Id"])
    assert docker_client.wait(made["Id"])["StatusCode"] == 0
    docker_client.commit(made["Id"], *tag.split(":"), changes=["CMD []"])
    docker_client.remove_container(made["Id"])
    yield tag
    docker_client.remove_image(tag, force=True)


@pytest.mark.parametrize("writable", [False, True])
def test_the_helpers_work_in_an_image_that_has_none(server: Server, bare_image: str, writable: bool) -> None:
    job = server.job(ALL.replace("KEY", str(writable).lower()), "python", image=bare_image, read_only_root=not writable)
    run = server.ended(server.launch(job))
    assert run["status"] == "succeeded", server.text(run["id"]).decode()
    assert run["output"][2] == "/tmp/.cronium/cronium.py"
    shell = server.ended(server.run("cronium_output 1 && cronium_increment_variable n 2", image=bare_image))
    assert (shell["status"], shell["output"]) == ("succeeded", 1), server.text(shell["id"]).decode()
    assert server.text(shell["id"]) == b"2\n"
