"""Large values have a bounded cost: a script's are handled one at a time at a limited rate, and pages end by bytes."""

import json
import socket
import threading

import pytest

from cronium_admin.variables.api import PAGE_BYTES
from cronium_admin.variables.models import Variable
from executor.docker.attachment import Attachment, SplitAttachment
from executor.docker.frames import STDOUT
from executor.sandbox import request_rate
from executor.sandbox.sidecar_channel import SidecarChannel
from executor.spec import Reply
from tests.conftest import Api
from tests.fakes.log import frame
from tests.fakes.specs import make_binding, make_spec


class Channels:
    """Channels of several runs with slow answers; `most` is the maximum of concurrent answers."""

    def __init__(self, size: int, count: int) -> None:
        self.now = self.most = 0
        self._lock = threading.Lock()
        request = {"type": "request", "id": 1, "op": "output", "body": {"output": "x" * size}}
        self._line = json.dumps(request).encode()
        self._channels = [self._channel() for _ in range(count)]

    def _answer(self, operation: str, body: object) -> Reply:
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)
        threading.Event().wait(0.05)
        with self._lock:
            self.now -= 1
        return Reply(data=None)

    def _channel(self) -> SidecarChannel:
        class Attachment:
            def send(self, data: bytes) -> None: ...
            def close(self) -> None: ...

        spec = make_spec()
        channel = SidecarChannel(Attachment(), spec.run_id)  # type: ignore[arg-type]
        channel.configure({}, make_binding(spec, self._answer))
        return channel

    def ask(self) -> int:
        threads = [threading.Thread(target=channel._receive_line, args=[self._line]) for channel in self._channels]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return self.most


def test_large_requests_are_served_one_at_a_time_and_small_ones_side_by_side() -> None:
    assert Channels(request_rate.LARGE_BYTES + 1, 4).ask() == 1
    assert Channels(10, 4).ask() > 1


def test_one_run_has_a_burst_and_then_a_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(request_rate.time, "monotonic", lambda: now)
    rate, five = request_rate.RequestThrottle(), 5 * 1024 * 1024
    assert [rate.charge_request(five) for _ in range(5)] == [0, 0, 0, 4, 9]
    assert rate.charge_request(100) == 0
    now = 1000.0
    assert rate.charge_request(five) == 0


def test_a_closed_channel_does_not_wait_for_its_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiting requests are not answered either: the run has ended, or another worker has it."""
    waits, asked = threading.Event(), list[str]()

    def seconds_to_wait(self: request_rate.RequestThrottle, size: int) -> float:
        waits.set()
        return 30.0

    monkeypatch.setattr(request_rate.RequestThrottle, "charge_request", seconds_to_wait)
    ours, theirs = socket.socketpair()
    attachment = SplitAttachment(Attachment(ours), Attachment(socket.socketpair()[0]))

    def answer(operation: str, body: object) -> Reply:
        asked.append(operation)
        return Reply(data=None)

    spec = make_spec()
    channel = SidecarChannel(attachment, spec.run_id)
    channel.configure({}, make_binding(spec, answer))
    channel.listen()
    request = {"type": "request", "id": 1, "op": "output", "body": {"output": "x" * request_rate.LARGE_BYTES}}
    sender = threading.Thread(target=theirs.sendall, args=[frame(STDOUT, json.dumps(request).encode() + b"\n")])
    sender.start()
    assert waits.wait(10)
    channel.close()
    channel._thread.join(10)
    assert not channel._thread.is_alive()
    assert asked == []
    sender.join(10)
    theirs.close()


def test_a_page_of_variables_ends_by_bytes_and_all_come(viewer: Api) -> None:
    text = json.dumps("x" * 200_000)
    for number in range(20):
        Variable.objects.create(name=f"big-{number:02}", text=text, version=1)
    found, path = [], "/variables"
    while path:
        answer = viewer.get(path)
        assert len(answer.content) < PAGE_BYTES + 10_000
        page = answer.json()
        found += [row["name"] for row in page["items"]]
        path = f"/variables?after={page['next']}" if page["next"] else ""
    assert found == [f"big-{number:02}" for number in range(20)]
