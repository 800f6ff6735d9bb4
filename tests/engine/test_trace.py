"""The trace of a run's phases on the real engine: cold, in a sandbox that waited, and over the death of a worker."""

import signal
from typing import Any

from tests.engine.server import Server
from tests.engine.test_warm import wait_for, warm  # noqa: F401 - a fixture

WHOLE = (
    *("accepted", "queued", "claimed", "bound", "begun", "payload_sent", "first_byte", "first_line_stored"),
    *("exit_seen", "drained", "finished", "taken_down"),
)
GATE = "echo first; until [ -e /tmp/gate ]; do sleep 0.1; done; echo last"


def read_trace(server: Server, run_id: str) -> dict[str, float]:
    server.until(lambda: server.get(run_id)["trace"]["taken_down"] is not None)
    trace: dict[str, Any] = server.get(run_id)["trace"]
    return {phase: at for phase, at in trace.items() if at is not None}


def check_order(trace: dict[str, float], phases: tuple[str, ...]) -> None:
    assert set(phases) <= trace.keys(), set(phases) - trace.keys()
    # Output may arrive while the end of the payload is still being sent.
    times = [trace[phase] for phase in phases if phase != "payload_sent"]
    assert times == sorted(times), trace


def test_a_run_in_a_new_sandbox(server: Server) -> None:
    run_id = server.run(GATE)
    with server.watch(run_id) as watch:
        watch.until_line("first")
        live = server.get(run_id)["trace"]
        assert live["begun"] > live["prepared"] > live["claimed"] > live["accepted"] == 0
        assert live["finished"] is None
        server.until(lambda: server.get(run_id)["trace"]["first_line_at_socket"] is not None)
        server.open_gate(run_id)
        watch.until_end()
    trace = read_trace(server, run_id)
    check_order(trace, WHOLE)
    check_order(trace, ("claimed", "network_made", "main_started", "prepared", "bound"))
    check_order(trace, ("claimed", "sidecar_ready", "bound"))
    assert not {"taken", "adopted"} & trace.keys()
    assert trace["first_line_at_socket"] >= trace["first_line_stored"] - 50  # another clock
    assert trace["first_line_at_socket"] < trace["exit_seen"]


def test_a_run_in_a_sandbox_that_waited(warm: Server) -> None:  # noqa: F811
    slug = warm.job("echo hello")
    for _ in range(2):  # the second run of a kind makes the host keep a sandbox ready
        warm.ended(warm.launch(slug))
    wait_for(warm)
    run_id = warm.launch(slug)
    assert warm.ended(run_id)["warm"] is True
    trace = read_trace(warm, run_id)
    check_order(trace, (*WHOLE[:3], "taken", *WHOLE[3:]))
    assert not {"prepared", "network_made", "adopted"} & trace.keys()


def test_a_run_that_was_cancelled_in_time(server: Server) -> None:
    run_id = server.run(GATE)
    with server.watch(run_id) as watch:
        watch.until_line("first")
        server.cancel(run_id)
        watch.until_end()
    check_order(read_trace(server, run_id), WHOLE)


def test_a_worker_that_adopts_a_run_adds_to_its_trace(server: Server) -> None:
    run_id = server.run(GATE)
    with server.watch(run_id) as watch:
        watch.until_line("first")
    before = {phase: at for phase, at in server.get(run_id)["trace"].items() if at is not None}
    server.stop(signal.SIGKILL)
    server.start()
    server.until(lambda: "adopted" in server.kinds(run_id), 60)
    server.open_gate(run_id)
    assert server.ended(run_id)["status"] == "succeeded"
    trace = read_trace(server, run_id)
    kept = {phase: at for phase, at in before.items() if phase != "first_line_at_socket"}
    assert {phase: trace[phase] for phase in kept} == kept
    check_order(trace, ("claimed", "begun", "adopted", "exit_seen", "drained", "finished", "taken_down"))
