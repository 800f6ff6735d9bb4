"""Many runs: all at once, one after the other, and a launch that is sent twice."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from io import BytesIO
from itertools import pairwise
from uuid import uuid4

import docker
import pytest

from tests.engine.server import Server

WAITING = """
trap 'echo released; cronium_output "\\"$CRONIUM_JOB_TYPE\\""; exit 0' USR1
echo up
while :; do sleep 0.2; done
"""


def test_thirty_five_runs_at_once_all_succeed(server: Server) -> None:
    """More than the engine's default address pools allow: all are active at the same moment."""
    slug = server.job(WAITING, timeout_seconds=300)
    ids = [server.launch(slug) for _ in range(35)]
    for run_id in ids:
        with server.watch(run_id) as watch:
            watch.until_line("up", 150)
    networks = server.docker.networks(filters={"label": [f"cronium.instance={server.instance}"]})
    subnets = {row["IPAM"]["Config"][0]["Subnet"] for row in networks}
    assert len(subnets) >= 35
    for run_id in ids:
        assert server.get(run_id)["status"] == "running"
    for run_id in ids:
        server.docker.kill(f"cronium-main-{run_id}", signal="SIGUSR1")
    for run_id in ids:
        run = server.ended(run_id)
        assert (run["status"], run["output"], server.text(run_id)) == ("succeeded", "bash", b"up\nreleased\n")
    for run_id in ids:
        server.cleaned(run_id, 60)


def test_one_at_a_time_in_the_order_they_came(serve: Callable[..., Server]) -> None:
    server = serve(CRONIUM_MAX_CONCURRENT="1")
    slow = server.run("echo up; sleep 60")
    with server.watch(slow) as watch:
        watch.until_line("up")
        waiting = [server.run(f"echo {number}") for number in range(4)]
        assert {server.get(run_id)["status"] for run_id in waiting} == {"queued"}
        dropped = server.cancel(waiting[2])
        assert (dropped["status"], dropped["reason"]) == ("cancelled", "cancelled")
        server.cancel(slow)
        watch.until_end()
    runs = [server.ended(run_id) for run_id in waiting]
    assert [run["status"] for run in runs] == ["succeeded", "succeeded", "cancelled", "succeeded"]
    assert runs[2]["started_at"] is None
    assert server.text(runs[2]["id"]) == b""
    begun = [run for run in runs if run["started_at"]]
    assert sorted(begun, key=lambda run: run["started_at"]) == begun
    for before, after in pairwise(begun):
        assert before["finished_at"] <= after["started_at"]


def test_the_same_key_gives_the_same_run(server: Server) -> None:
    slug = server.job("echo once")
    ids = {server.launch(slug, key="deploy-7") for _ in range(3)}
    assert len(ids) == 1
    assert server.launch(slug, key="deploy-8") not in ids
    server.ended(ids.pop())
    assert server.call("GET", f"/runs?job={slug}")["items"][1]["number"] == 1


def test_a_rerun_runs_what_ran(server: Server) -> None:
    slug = server.job("echo $CITY; cronium_input", env={"CITY": "Oslo"}, input=5)
    first = server.ended(server.launch(slug, {"env": {"CITY": "Bergen"}, "input": 6}))
    server.call("PATCH", f"/jobs/{slug}", {"script": "echo changed"})
    again = server.ended(server.call("POST", f"/runs/{first['id']}/rerun", None, 202)["id"])
    assert again["parent"] == first["id"]
    assert server.text(again["id"]) == server.text(first["id"]) == b"Bergen\n6\n"


@pytest.fixture
def moving_tag(server: Server) -> Iterator[Callable[[str], str]]:
    """Builds an image with this value of WHICH under one tag; returns the image's id. All are removed at the end."""
    base = server.get(server.ended(server.run("true"))["id"])["image"]["reference"]
    tag, made = f"cronium-test/moving-{uuid4().hex[:8]}:1", []

    def move(which: str) -> str:
        text = f"FROM {base}\nENV WHICH={which}\nLABEL test={tag}\n"
        list(server.docker.build(fileobj=BytesIO(text.encode()), tag=tag, rm=True, decode=True))
        made.append(str(server.docker.inspect_image(tag)["Id"]))
        return made[-1]

    yield move
    for image in made:
        with suppress(docker.errors.ImageNotFound):
            server.docker.remove_image(image, force=True)


def test_a_rerun_takes_the_image_that_ran_though_its_tag_has_moved(
    server: Server, moving_tag: Callable[[str], str]
) -> None:
    old = moving_tag("old")
    tag = server.docker.inspect_image(old)["RepoTags"][0]
    first = server.ended(server.run("echo $WHICH", image=tag))
    new = moving_tag("new")
    assert new != old
    again = server.ended(server.call("POST", f"/runs/{first['id']}/rerun", None, 202)["id"])
    assert (server.text(again["id"]), again["image"]) == (b"old\n", first["image"])
    newest = server.ended(server.launch(first["job"]["slug"]))
    assert (server.text(newest["id"]), newest["image"]["digest"]) == (b"new\n", new)

    server.docker.remove_image(old, force=True)
    gone = server.ended(server.call("POST", f"/runs/{first['id']}/rerun", None, 202)["id"])
    assert (gone["status"], gone["reason"]) == ("errored", "image_missing")
    assert tag in gone["message"]
    assert old in gone["message"]
    assert "as it is now" in gone["message"]
