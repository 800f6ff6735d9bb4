"""A sidecar whose worker is replaced: its requests wait, are repeated, and count once."""

import asyncio
import json
import re
from pathlib import Path
from uuid import uuid4

import pytest

from cronium_admin.runs.models import Run, Status
from cronium_admin.runtime_api import handlers
from cronium_admin.variables.models import Variable
from executor.spec import LeaseLost
from tests.unit.test_helpers import IMAGES
from tests.unit.test_sidecar import MIB, Sidecar, path, start

ATTACHED = b'\n{"type": "attached"}\n'


async def asked(sidecar: Sidecar, count: int) -> None:
    while len(sidecar.worker.asked) < count:
        await asyncio.sleep(0)


async def test_a_new_worker_is_asked_what_the_old_one_did_not_answer() -> None:
    sidecar = await start()
    sidecar.worker.answer = lambda message: {"ok": True} if message.get("op") == "condition" else None
    waiting = [asyncio.create_task(sidecar.ask("POST", path("output"), body=b"%d" % n)) for n in range(3)]
    await asked(sidecar, 3)
    assert (await sidecar.ask("POST", path("condition"), body=b"true"))[0] == 200
    before = sidecar.worker.asked[:3]
    feed = sidecar.worker.reader.feed_data
    feed(b'{"id": 1, "ok": tr' + ATTACHED)  # the old one died in the middle of an answer
    await asked(sidecar, 7)
    assert sorted(sidecar.worker.asked[4:], key=lambda one: one["id"]) == before, "the same, by the same ids"
    for message in before:
        feed(json.dumps({"id": message["id"], "ok": True, "data": message["body"]["output"]}).encode() + b"\n")
        feed(json.dumps({"id": message["id"], "ok": False, "status": 403}).encode() + b"\n")  # the frozen one wakes
    assert sorted([(await task)[1]["data"] for task in waiting]) == [0, 1, 2]


async def test_requests_that_wait_for_a_worker_hold_a_bounded_memory() -> None:
    sidecar = await start()
    sidecar.worker.answer = lambda _: None
    body = b'"' + b"x" * (5 * MIB - 2) + b'"'
    waiting = [asyncio.create_task(sidecar.ask("POST", path("output"), body=body)) for _ in range(2)]
    await asked(sidecar, 2)
    status, answer = await sidecar.ask("POST", path("output"), body=b"1")
    assert (status, answer["error"]) == (429, "TOO_BUSY")
    for task in waiting:
        task.cancel()


def seconds(pattern: str, file: str) -> float:
    found = re.search(pattern, (IMAGES / file).read_text())
    assert found
    return float(found[1].replace("_", ""))


def test_helpers_wait_longer_than_the_sidecar_does() -> None:
    sidecar = seconds(r"ANSWER_SECONDS = ([\d.]+)", "runtime-api/sidecar/control.py")
    assert sidecar >= 45 + 10, "a dead worker is replaced within 45 s"
    assert seconds(r"TIMEOUT_SECONDS = ([\d.]+)", "python/cronium.py") > sidecar
    assert seconds(r"TIMEOUT_MS = ([\d_]+)", "node/cronium.js") > sidecar * 1000
    assert seconds(r"-t (\d+) -u 3 _cr_version", "bash/cronium.sh") > sidecar
    assert "within 75 s" in (Path(IMAGES).parent / "docs" / "runtime-api.md").read_text()


class TestService:
    """Requests from the worker of an earlier lease, and of an ended run."""

    @pytest.mark.parametrize("operation", ["get_variable", "increment_variable"])
    def test_one_whose_lease_is_over_does_nothing_and_says_nothing(self, run: Run, operation: str) -> None:
        Run.objects.filter(pk=run.pk).update(status=Status.RUNNING, lease_epoch=4)
        body = {"key": "n", "amount": 1, "idempotency_key": "request:1"}
        with pytest.raises(LeaseLost):
            handlers.handle_request(run.pk, operation, body, epoch=3)
        assert not Variable.objects.exists()
        assert handlers.handle_request(run.pk, "increment_variable", body, epoch=4).data == 1
        assert handlers.handle_request(run.pk, "increment_variable", body, epoch=4).data == 1, "asked again"

    def test_one_whose_run_has_ended_says_so(self, run: Run) -> None:
        Run.objects.filter(pk=run.pk).update(status=Status.LOST, lease_epoch=4)
        assert handlers.handle_request(run.pk, "get_variable", {"key": "n"}, epoch=4).error == "RUN_ENDED"
        assert handlers.handle_request(uuid4(), "get_variable", {"key": "n"}, epoch=4).error == "RUN_ENDED"
