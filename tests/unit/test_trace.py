"""The trace of a run's phases: its stored form, what each process adds to it, and the metrics of its steps."""

import contextvars
import threading
import time
from collections.abc import Callable, Iterator
from ipaddress import IPv4Network
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from bench.phases import print_phases
from cronium_admin.core import metrics
from cronium_admin.core.request_clock import start_request_clock
from cronium_admin.jobs.models import Job
from cronium_admin.logs.store import LogWriter
from cronium_admin.runs import state_machine
from cronium_admin.runs.launch import launch
from cronium_admin.runs.models import Run
from cronium_admin.runs.presentation.phases import build_trace_table
from cronium_admin.runs.schemas import TraceOut
from cronium_admin.runs.trace import STEPS, STORED, list_steps, pack_offsets, unpack_offsets
from cronium_admin.workers.database_threads import DatabaseThreads
from cronium_admin.workers.run_handler import DatabaseRunHandler
from cronium_admin.workers.run_trace import RunTrace
from executor.run import trace as executor_trace
from executor.run.slot import Slot
from executor.run.trace import Trace
from executor.sandbox.subnets import SubnetPool
from executor.spec import Batch, Cursor, RunResult, Segment
from tests.conftest import Api
from tests.fakes.engine import FakeEngine
from tests.fakes.specs import Remembering, make_spec
from tests.fresh_metrics import reset_metrics
from tests.users import get_admin

DONE = RunResult("succeeded", "exit_code", "The script exited with code 0.", 0)


@pytest.mark.parametrize(
    ("offsets", "text"),
    [
        ({}, ""),
        ({"accepted": 0.0, "queued": 5.24}, "0,52"),
        ({"queued": 0.0}, ",0"),
        ({"accepted": 0.0, "queued": 5.0, "claimed": 3.0}, "0,50,-20"),  # the clock was set back
        ({"queued": 0.0, "claimed": 1.5, "taken": 2.5, "bound": 10.0}, ",0,15,,,,,10,,75"),
    ],
)
def test_the_stored_form(offsets: dict[str, float], text: str) -> None:
    assert pack_offsets(offsets) == text
    assert unpack_offsets(text) == pytest.approx({phase: round(at, 1) for phase, at in offsets.items()})


def test_phases_of_a_newer_version_are_skipped() -> None:
    full = {phase: float(place) for place, phase in enumerate(STORED)}
    assert unpack_offsets(pack_offsets(full) + ",7,8") == full


def test_every_phase_of_the_executor_can_be_stored() -> None:
    assert set(executor_trace.PHASES) == set(STORED) - {"accepted", "queued", "adopted"}


def test_steps_follow_each_other_in_the_order_of_their_times() -> None:
    times = {"claimed": 1.0, "prepared": 4.0, "network_made": 2.0, "exit_seen": 7.0, "first_line_stored": 9.0}
    steps = [(step.before, step.phase, step.end - step.start) for step in list_steps(times)]
    assert steps == [
        ("claimed", "prepared", 3.0),
        ("prepared", "exit_seen", 3.0),
        ("exit_seen", "first_line_stored", 2.0),
    ]


def test_the_first_note_of_a_phase_counts() -> None:
    trace = Trace("claimed", 5.0)
    trace.note("claimed")
    trace.note("bound")
    at = trace.times["bound"]
    threads = [threading.Thread(target=trace.note, args=("bound",)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert trace.times == {"claimed": 5.0, "bound": at}


def test_a_slot_notes_its_phases_in_order() -> None:
    engine, handler = FakeEngine(), Remembering()
    slot = Slot(engine, make_spec(script="echo hello"), handler, SubnetPool(IPv4Network("10.215.0.0/24")),
                threading.Semaphore(2))  # fmt: skip
    slot.run()
    engine.close()
    order = ("network_made", "main_started", "prepared", "bound", "begun", "payload_sent", "exit_seen", "drained")
    times = [handler.phases[phase] for phase in (*order, "finished")]
    assert times == sorted(times)
    assert handler.phases["network_made"] <= handler.phases["sidecar_ready"] <= handler.phases["prepared"]
    assert handler.phases["begun"] <= handler.phases["first_byte"] <= handler.phases["drained"]


def test_a_launch_stores_the_time_since_its_request_was_accepted(job: Job) -> None:
    assert unpack_offsets(launch(job, get_admin()).trace) == {"queued": 0.0}
    made: list[Run] = []

    def answer() -> None:
        start_request_clock()
        time.sleep(0.02)
        made.append(launch(job, get_admin()))

    contextvars.copy_context().run(answer)
    trace = unpack_offsets(made[0].trace)
    assert trace["accepted"] == 0.0
    assert 20 <= trace["queued"] < 2000
    assert unpack_offsets(launch(job, get_admin()).trace) == {"queued": 0.0}


def test_the_api_explains_every_phase() -> None:
    assert set(TraceOut.model_fields) == {*STORED, "first_line_at_socket"}
    assert all(field.description for field in TraceOut.model_fields.values())


def test_the_api_returns_the_trace(admin: Api, run: Run) -> None:
    offsets = {"accepted": 0.0, "queued": 5.2, "claimed": 9.0, "prepared": 350.4, "begun": 356.0}
    Run.objects.filter(pk=run.pk).update(trace=pack_offsets(offsets), first_sent_ms=372)
    trace = admin.get(f"/runs/{run.pk}").json()["trace"]
    assert {phase: at for phase, at in trace.items() if at is not None} == offsets | {"first_line_at_socket": 372}
    Run.objects.filter(pk=run.pk).update(trace="", first_sent_ms=None)
    assert admin.get(f"/runs/{run.pk}").json()["trace"] is None


WHOLE = {
    **{"accepted": 0.0, "queued": 10.0, "claimed": 20.0, "prepared": 320.0, "bound": 320.0, "begun": 330.0},
    **{"payload_sent": 332.0, "first_byte": 340.0, "first_line_stored": 342.0, "exit_seen": 9_342.0},
    **{"drained": 9_342.0, "finished": 9_352.0, "taken_down": 9_618.0},
}


def test_the_bars_of_a_run_are_to_scale_without_the_time_of_its_script() -> None:
    table = build_trace_table(WHOLE)
    assert table is not None
    assert table.overhead == pytest.approx(610.0)
    assert (table.first_line, table.first_line_sent) == (342.0, None)
    bars = {row.words: (row.x, row.width) for row in table.rows if not row.is_of_script}
    assert bars["Sandbox built"] == (33, 492)  # 300 of 610 ms
    assert bars["Sandbox removed"] == (564, 436)
    assert [row.words for row in table.rows if row.is_of_script] == [
        "Script, until its first output",
        "Script, until its end",
    ]
    assert all(row.x >= 0 and row.x + row.width <= 1000 for row in table.rows)


@pytest.mark.parametrize(
    "offsets",
    [
        {},
        {"queued": 0.0},
        {"queued": 0.0, "claimed": 0.0},
        {"accepted": 0.0, "queued": 4.0},
        {"accepted": 0.0, "queued": 4.0, "claimed": 2.0, "taken": 3.0},  # the clock was set back
        {"queued": 0.0, "claimed": 86_400_000.0, "prepared": 86_400_300.0, "begun": 86_400_310.0},
        {"queued": 0.0, "claimed": 1.0, "begun": 2.0, "adopted": 60_000.0, "exit_seen": 61_000.0, "drained": 61_001.0},
    ],
)
def test_the_page_of_a_run_shows_any_trace(client: Client, run: Run, offsets: dict[str, float]) -> None:
    client.force_login(get_admin())
    Run.objects.filter(pk=run.pk).update(trace=pack_offsets(offsets))
    for path in (f"/runs/{run.pk}/details/", f"/runs/{run.pk}/live/?tab=details"):
        text = client.get(path).content.decode()
        assert ('<table class="trace">' in text) == (len(offsets) > 1)
        assert ("Another worker took the run over" in text) == ("adopted" in offsets)
        assert "style=" not in text[text.index('id="run-details"') :]
    table = build_trace_table(offsets)
    assert all(row.x >= 0 and row.x + row.width <= 1000 for row in (table.rows if table else ()))


def test_the_page_says_when_the_first_line_was_there(client: Client, run: Run) -> None:
    client.force_login(get_admin())
    Run.objects.filter(pk=run.pk).update(trace=pack_offsets(WHOLE), first_sent_ms=351)
    text = client.get(f"/runs/{run.pk}/details/").content.decode()
    for shown in ("342 ms", "351 ms", "300 ms", "9.0 s", "2.0 ms", "610 ms that Cronium took"):
        assert shown in text, shown


@pytest.fixture
def make_handler(database: DatabaseThreads) -> Iterator[Callable[..., DatabaseRunHandler]]:
    writer = LogWriter()
    yield lambda run, trace: DatabaseRunHandler(run.pk, run.lease_epoch, database, writer, trace=trace)
    writer.close()


def _read_trace(run: Run) -> dict[str, float]:
    return unpack_offsets(Run.objects.values_list("trace", flat=True).get(pk=run.pk))


def _line() -> Batch:
    return Batch((Segment(1, 1, time.time_ns(), b"hello\n"),), Cursor(1, 6), Cursor())


def _count(metric: Any, label: str) -> float:
    samples = [sample for family in metric.collect() for sample in family.samples]
    return sum(s.value for s in samples if s.name.endswith("_count") and s.labels["phase"] == label)


def _claim() -> Run:
    run = state_machine.claim_next("a", "owner")
    assert run is not None
    return run


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_the_trace_grows_with_the_rows_that_are_written_anyway(
    run: Run, make_handler: Callable[..., DatabaseRunHandler]
) -> None:
    reset_metrics()
    run = _claim()
    handler = make_handler(run, RunTrace.start(run))
    handler.note_phase("prepared")
    handler.note_phase("bound")
    assert handler.mark_running("sha256:a", {})
    handler.note_phase("begun")
    assert list(_read_trace(run)) == ["queued", "claimed", "prepared", "bound", "begun"]
    handler.note_phase("payload_sent")
    assert _count(metrics.RUN_STEPS, "prepared") == 1
    assert _count(metrics.RUN_STEPS, "first_line_stored") == 0
    handler.append(_line())
    handler.append(Batch((), Cursor(1, 6), Cursor(), stdout_tail=b"..."))
    assert _count(metrics.RUN_STEPS, "first_line_stored") == _count(metrics.RUN_PHASES, "first_log") == 1
    handler.note_phase("drained")
    handler.finish(DONE)
    trace = _read_trace(run)
    assert list(trace)[-3:] == ["first_line_stored", "drained", "finished"]
    handler.note_phase("finished")
    handler.mark_cleaned()
    trace = _read_trace(run)
    assert list(trace.values()) == sorted(trace.values())
    assert list(trace)[-1] == "taken_down"
    counted = {phase: _count(metrics.RUN_STEPS, phase) for phase in STEPS}
    assert counted == {phase: float(phase in trace and phase != "queued") for phase in STEPS}
    assert _count(metrics.RUN_PHASES, "sandbox") == 1


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_a_first_batch_without_a_line_is_not_the_first_line(
    run: Run, make_handler: Callable[..., DatabaseRunHandler]
) -> None:
    run = _claim()
    handler = make_handler(run, RunTrace.start(run))
    handler.mark_running("sha256:a", {})
    handler.append(Batch((), Cursor(), Cursor(), stdout_tail=b"Name? "))
    handler.finish(DONE)
    assert "first_line_stored" not in _read_trace(run)


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_a_process_that_adopts_a_run_keeps_what_the_first_one_stored(
    run: Run, make_handler: Callable[..., DatabaseRunHandler]
) -> None:
    reset_metrics()
    run = _claim()
    first = RunTrace.start(run)
    first.note("prepared")
    make_handler(run, first).mark_running("sha256:a", {})
    before = _read_trace(run)
    run.refresh_from_db()
    handler = make_handler(run, RunTrace.continue_adopted(run, 60.0))
    handler.note_phase("exit_seen")
    handler.note_phase("drained")
    handler.finish(DONE)
    after = _read_trace(run)
    assert {phase: after[phase] for phase in before} == before
    assert list(after)[len(before) :] == ["exit_seen", "drained", "finished", "adopted"]
    assert 0 <= after["adopted"] - before["begun"] - 60_000 < 1000
    assert after["adopted"] <= after["exit_seen"] <= after["finished"]
    handler.mark_cleaned()
    assert _count(metrics.RUN_STEPS, "exit_seen") == 0  # the script's start was not seen here
    assert _count(metrics.RUN_STEPS, "drained") == 1


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
@pytest.mark.parametrize("status", ["queued", "running"])
def test_a_run_of_an_older_version_gets_no_invented_times(
    run: Run, make_handler: Callable[..., DatabaseRunHandler], status: str
) -> None:
    Run.objects.filter(pk=run.pk).update(trace="")
    if status == "queued":
        run = _claim()
        trace = RunTrace.start(run)
    else:
        Run.objects.filter(pk=run.pk).update(status="running", started_at=timezone.now(), trace="")
        run.refresh_from_db()
        trace = RunTrace.continue_adopted(run, 3.0)
    handler = make_handler(run, trace)
    handler.note_phase("prepared")
    handler.mark_running("sha256:a", {})
    handler.finish(DONE)
    assert _read_trace(run) == {}


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_a_requeued_run_counts_its_whole_time_in_the_queue(run: Run) -> None:
    first = _claim()
    assert state_machine.requeue(first.pk, first.lease_epoch, "Its worker was stopped")
    time.sleep(0.02)
    second = _claim()
    trace = unpack_offsets(RunTrace.start(second).pack())
    assert trace["claimed"] >= 20
    assert list(trace) == ["queued", "claimed"]


def test_the_benchmark_prints_a_row_for_each_step(capsys: pytest.CaptureFixture[str]) -> None:
    whole = {**WHOLE, "network_made": 80.0, "first_line_at_socket": 351.0}
    print_phases([whole, {phase: whole.get(phase) for phase in (*STORED, "first_line_at_socket")}], floor=[0.226])
    rows = {line[2:34].strip(): line[34:].split() for line in capsys.readouterr().out.splitlines()}
    assert rows["prepared"] == ["300.0", "300.0", "320.0"]
    assert rows["network_made, since claimed"] == ["60.0", "60.0", "80.0"]
    assert rows["until first_line_at_socket"] == ["351.0", "351.0", "351.0"]
    assert rows["bare docker run, first line"] == ["226.0", "226.0"]
    assert "taken" not in rows
    print_phases([None], floor=[0.2])
    assert "no run has a trace" in capsys.readouterr().out
