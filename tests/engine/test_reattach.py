"""The real sidecar on the real engine: its worker dies during a request, and another worker answers."""

import threading
from collections.abc import Iterator
from ipaddress import IPv4Network
from typing import Any

import pytest

from executor import naming
from executor.docker.client import Engine
from executor.run.payload import build_payload
from executor.sandbox.sandbox import Sandbox
from executor.sandbox.subnets import SubnetPool
from executor.spec import LeaseLost, Reply
from tests.fakes.contract import World
from tests.fakes.specs import make_binding

# The last request has no key of its own.
SCRIPT = """
for _ in 1 2 3; do cronium_increment_variable n; done
exec 3<>/dev/tcp/runtime-api/8081
printf 'POST /executions/%s/variables/n/increment HTTP/1.1\\r\\nHost: x\\r\\nAuthorization: Bearer %s\\r\\n' \
  "$CRONIUM_EXECUTION_ID" "$CRONIUM_EXECUTION_TOKEN" >&3
printf 'Connection: close\\r\\nContent-Length: 1\\r\\n\\r\\n1' >&3
cat <&3 | tail -n 1
"""


@pytest.fixture
def world(bash_image: str) -> Iterator[World]:
    made = World(Engine(), bash_image, "cronium/runtime-api:latest", SubnetPool(IPv4Network("10.215.2.0/24")))
    yield made
    made.clear()


class Counter:
    """Stands in for the database of the workers: increments by key."""

    def __init__(self) -> None:
        self.by_key: dict[str, int] = {}
        self.asked = 0

    def add(self, body: Any) -> int:
        self.asked += 1
        return self.by_key.setdefault(body["idempotency_key"], len(self.by_key) + 1)


@pytest.mark.parametrize("dies", [1, 2, 4])
@pytest.mark.parametrize("way", ["before it is done", "after it is done", "frozen"])
def test_a_request_in_flight_gets_its_answer_and_counts_once(world: World, dies: int, way: str) -> None:
    from cronium_admin.runtime_api.helpers import load_helpers

    spec = world.spec(script=SCRIPT, helpers=load_helpers())
    counter, reached, woken = Counter(), threading.Event(), threading.Event()

    def first(_: str, body: Any) -> Reply:
        if counter.asked + 1 < dies:
            return Reply(data=counter.add(body))
        if way == "after it is done":
            counter.add(body)
        reached.set()
        if way == "frozen":  # and it answers when another has done so
            woken.wait(30)
            return Reply(data="old")
        raise LeaseLost  # closes its end without an answer, as the kernel does for a killed process

    old, new = (Sandbox(world.engine, spec.sandbox, world.pool) for _ in range(2))
    old.prepare(make_binding(spec, first))
    old.send_payload(build_payload(spec))
    assert reached.wait(30)
    assert new.adopt(make_binding(spec, lambda _, body: Reply(data=counter.add(body)))).is_running
    world.settled(naming.name_main(spec.run_id))
    woken.set()
    log = world.engine.open_log(naming.name_main(spec.run_id), follow=False)
    said = b""
    while block := log.recv(65536, 1):
        said += block
    log.close()
    assert len(counter.by_key) == 4
    assert [b"%d" % n in said for n in (1, 2, 3)] == [True] * 3
    assert b'{"success": true, "data": 4}' in said
    assert b"old" not in said
    assert new.take_down()
    old.detach()
