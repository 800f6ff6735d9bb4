"""Each transition from each status: which succeed, which are refused, and that terminal states absorb."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db.models import Q
from django.utils import timezone

from cronium_admin.runs import state_machine
from cronium_admin.runs.models import LIVE, TERMINAL, Run, RunEvent, Status
from cronium_admin.runs.state_machine import Ending
from cronium_admin.runs.timeline import TimelineEvent, build_timeline
from tests.users import get_admin

EPOCH = 3
ENDING = Ending(Status.SUCCEEDED, "exit_code", "Done.", 0, {"log_lines": 5})


def _claim(run: Run) -> bool:
    return state_machine.claim_next("host", "owner") is not None


def test_a_claim_with_a_condition_that_does_not_hold_takes_nothing_and_ends(run: Run) -> None:
    assert state_machine.claim_next("host", "owner", only_if=Q(queue="another")) is None
    run.refresh_from_db()
    assert run.status == Status.QUEUED
    assert state_machine.claim_next("host", "owner", only_if=Q(queue=run.queue)) == run


# Name, the call, the statuses it leaves, and the status it leads to (None: stays).
TRANSITIONS: list[tuple[str, Callable[[Run], bool], set[Status], Status | None]] = [
    ("claim", _claim, {Status.QUEUED}, Status.STARTING),
    ("begin", lambda run: state_machine.mark_running(run.pk, EPOCH, "sha256:1"), {Status.STARTING}, Status.RUNNING),
    ("requeue", lambda run: state_machine.requeue(run.pk, EPOCH, "again"), {Status.STARTING}, Status.QUEUED),
    (
        "finish",
        lambda run: state_machine.finish(run.pk, EPOCH, ENDING),
        {Status.STARTING, Status.RUNNING},
        Status.SUCCEEDED,
    ),
    ("adopt", lambda run: state_machine.adopt(run.pk, EPOCH, "next", "taken over"), {Status.RUNNING}, None),
    (
        "stopping",
        lambda run: state_machine.record_stop_reason(run.pk, EPOCH, "timeout", "its time is over"),
        {Status.STARTING, Status.RUNNING},
        None,
    ),
    ("release", lambda run: state_machine.release_lease(run.pk, EPOCH), {Status.RUNNING}, None),
    (
        "requeue_abandoned",
        lambda run: state_machine.requeue_abandoned(run.pk, EPOCH, "again"),
        {Status.STARTING},
        Status.QUEUED,
    ),
    (
        "end_abandoned",
        lambda run: state_machine.end_abandoned(run.pk, EPOCH, timedelta(seconds=60), ENDING),
        {Status.STARTING, Status.RUNNING},
        Status.SUCCEEDED,
    ),
    ("cancel_queued", lambda run: state_machine.cancel_queued(run.pk, "me"), {Status.QUEUED}, Status.CANCELLED),
    (
        "ask_to_cancel",
        lambda run: state_machine.request_cancel(run.pk, get_admin().pk, "me"),
        {Status.STARTING, Status.RUNNING},
        None,
    ),
]


def _put(run: Run, status: Status, **more: Any) -> None:
    lease = {"lease_epoch": EPOCH, "lease_owner": "owner", "lease_expires_at": timezone.now() - timedelta(seconds=61)}
    Run.objects.filter(pk=run.pk).update(status=status, **(lease | more))


def _timeline(run: Run) -> list[TimelineEvent]:
    return build_timeline(Run.objects.get(pk=run.pk))


@pytest.mark.parametrize("status", list(Status))
@pytest.mark.parametrize(("name", "call", "leaves", "leads"), TRANSITIONS, ids=[name for name, *_ in TRANSITIONS])
def test_a_transition_takes_only_from_where_it_may(
    run: Run,
    status: Status,
    name: str,
    call: Callable[[Run], bool],
    leaves: set[Status],
    leads: Status | None,
) -> None:
    _put(run, status)
    events = _timeline(run)
    before = Run.objects.filter(pk=run.pk).values().get()
    took = call(run)
    after = Run.objects.filter(pk=run.pk).values().get()
    assert took == (status in leaves)
    if took:
        assert after["status"] == (leads or status)
        assert len(_timeline(run)) == len(events) + 1
        assert (after["finished_at"] is not None) == (after["status"] in TERMINAL)
    else:
        assert after == before
        assert _timeline(run) == events


@pytest.mark.parametrize("status", TERMINAL)
def test_nothing_leaves_a_terminal_status(run: Run, status: Status) -> None:
    _put(run, status, finished_at=timezone.now())
    for _, call, *_ in TRANSITIONS:
        assert not call(run)
    run.refresh_from_db()
    assert run.status == status


@pytest.mark.parametrize("name", ["begin", "requeue", "finish", "adopt", "release", "stopping"])
def test_an_old_lease_holder_changes_nothing(run: Run, name: str) -> None:
    _put(run, Status.STARTING)
    calls: dict[str, Callable[[], bool]] = {
        "begin": lambda: state_machine.mark_running(run.pk, EPOCH - 1, ""),
        "requeue": lambda: state_machine.requeue(run.pk, EPOCH - 1, ""),
        "finish": lambda: state_machine.finish(run.pk, EPOCH - 1, ENDING),
        "adopt": lambda: state_machine.adopt(run.pk, EPOCH - 1, "next", ""),
        "release": lambda: state_machine.release_lease(run.pk, EPOCH - 1),
        "stopping": lambda: state_machine.record_stop_reason(run.pk, EPOCH - 1, "timeout", ""),
    }
    status = Status.RUNNING if name in ("adopt", "release") else Status.STARTING
    Run.objects.filter(pk=run.pk).update(status=status)
    assert not calls[name]()
    run.refresh_from_db()
    assert (run.status, run.lease_epoch, run.lease_owner) == (status, EPOCH, "owner")


def test_who_adopts_shuts_the_one_before_out(run: Run) -> None:
    _put(run, Status.RUNNING)
    assert state_machine.adopt(run.pk, EPOCH, "next", "taken over")
    assert not state_machine.finish(run.pk, EPOCH, ENDING)
    assert state_machine.renew_leases("owner") == 0
    assert state_machine.finish(run.pk, EPOCH + 1, ENDING)


@pytest.mark.parametrize(
    "call",
    [
        lambda run: state_machine.requeue_abandoned(run.pk, EPOCH, "again"),
        lambda run: state_machine.end_abandoned(run.pk, EPOCH, timedelta(0), ENDING),
    ],
)
def test_a_run_under_a_living_lease_is_nobody_elses(run: Run, call: Callable[[Run], bool]) -> None:
    _put(run, Status.STARTING, lease_expires_at=timezone.now() + timedelta(seconds=5))
    assert not call(run)


def test_a_run_is_lost_only_after_the_time_it_is_given(run: Run) -> None:
    _put(run, Status.RUNNING, lease_expires_at=timezone.now() - timedelta(seconds=30))
    assert not state_machine.end_abandoned(run.pk, EPOCH, timedelta(seconds=60), ENDING)
    assert state_machine.end_abandoned(run.pk, EPOCH, timedelta(seconds=20), ENDING)


@pytest.mark.parametrize("name", ["begin", "requeue"])
def test_a_run_that_is_to_be_cancelled_never_starts_or_waits_again(run: Run, name: str) -> None:
    _put(run, Status.STARTING, cancel_requested_at=timezone.now())
    call = next(call for known, call, *_ in TRANSITIONS if known == name)
    assert not call(run)


def test_the_first_reason_to_stop_is_kept(run: Run) -> None:
    _put(run, Status.RUNNING)
    assert state_machine.record_stop_reason(run.pk, EPOCH, "timeout", "its time is over")
    assert not state_machine.record_stop_reason(run.pk, EPOCH, "cancel", "somebody cancelled it")
    run.refresh_from_db()
    assert (run.status, run.stop_reason) == (Status.RUNNING, "timeout")


def test_a_cancel_is_asked_for_once(run: Run) -> None:
    _put(run, Status.RUNNING)
    assert state_machine.request_cancel(run.pk, get_admin().pk, "first")
    assert not state_machine.request_cancel(run.pk, get_admin().pk, "second")
    assert [event.by for event in RunEvent.objects.filter(kind="cancel_requested")] == ["first"]


def test_an_ending_keeps_reason_message_and_facts(run: Run) -> None:
    _put(run, Status.RUNNING)
    state_machine.finish(run.pk, EPOCH, ENDING)
    run.refresh_from_db()
    assert (run.reason, run.message, run.exit_code, run.log_lines) == ("exit_code", "Done.", 0, 5)
    assert run.lease_expires_at is None


def test_the_run_that_waited_longest_is_claimed_first(run: Run, job: Any) -> None:
    from cronium_admin.runs.launch import launch

    launch(job, get_admin())
    first = state_machine.claim_next("host", "owner")
    assert first is not None
    assert first.pk == run.pk
    assert (first.status, first.lease_epoch, first.host, first.lease_owner) == (Status.STARTING, 1, "host", "owner")
    assert first.lease_expires_at is not None
    assert first.lease_expires_at > timezone.now()


def test_only_ended_runs_are_marked_clean_and_once(run: Run) -> None:
    for status in LIVE:
        _put(run, status)
        assert not state_machine.mark_cleaned(run.pk)
    _put(run, Status.FAILED)
    assert state_machine.mark_cleaned(run.pk)
    assert not state_machine.mark_cleaned(run.pk)


def test_leases_are_renewed_for_their_owner_only(run: Run) -> None:
    _put(run, Status.RUNNING, lease_expires_at=timezone.now())
    assert state_machine.renew_leases("someone else") == 0
    assert state_machine.renew_leases("owner") == 1
    run.refresh_from_db()
    assert run.lease_expires_at is not None
    assert run.lease_expires_at > timezone.now()
