"""The database's clock is set back or forward: nothing waits until it has caught up, and nothing is decided twice."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from cronium_admin.core.lease import acquire_lease, holds_lease, renew_lease
from cronium_admin.core.leased_task import LeasedTask
from cronium_admin.core.models import Lease
from cronium_admin.expectations.moment import record_moment
from cronium_admin.images.models import PulledImage, PullState
from cronium_admin.images.pulls import request_pull
from cronium_admin.images.reference import canonicalize_reference
from cronium_admin.runs.models import Run, Status
from cronium_admin.schedules.firing import record_tick
from cronium_admin.schedules.models import Occurrence, Schedule
from cronium_admin.schedules.rules import to_instant
from cronium_admin.schedules.ticker import LEASE, LEASE_SECONDS, ScheduleTicker
from cronium_admin.warm.models import WarmSandbox
from cronium_admin.workers import abandoned, lease
from cronium_admin.workers.clock_steps import ClockStepDetector
from cronium_admin.workers.hosts import service as hosts
from cronium_admin.workers.hosts.models import Host
from tests.unit.conftest import SetClock
from tests.unit.schedules.conftest import store_schedule
from tests.users import get_admin

pytestmark = pytest.mark.django_db
HOURS = 3600.0


@pytest.fixture(autouse=True)
def _new_detector(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(abandoned, "clock_steps", ClockStepDetector())


def holds(owner: str) -> bool:
    return Lease.objects.filter(holds_lease("x", owner)).exists()


class TestLeases:
    def test_the_lease_of_a_dead_process_ends_after_its_length(self, set_clock: SetClock) -> None:
        assert acquire_lease("x", "dead", 15) == 1
        set_clock(-2 * HOURS)
        assert acquire_lease("x", "next", 15) is None, "it may be alive"
        set_clock(-2 * HOURS + 14)
        assert acquire_lease("x", "next", 15) is None
        set_clock(-2 * HOURS + 16)
        assert acquire_lease("x", "next", 15) == 2
        assert (holds("dead"), holds("next")) == (False, True)

    def test_a_living_process_keeps_its_lease(self, set_clock: SetClock) -> None:
        acquire_lease("x", "living", 15)
        set_clock(-2 * HOURS)
        for seconds in range(0, 60, 5):
            set_clock(-2 * HOURS + seconds)
            assert acquire_lease("x", "next", 15) is None
            assert holds("living")
            assert renew_lease("x", "living", 15)

    def test_a_process_that_was_shut_out_works_again(self, set_clock: SetClock) -> None:
        """The task asks every third of the lease's length."""
        done: list[str] = []
        dead = LeasedTask("x", lambda lease: done.append("dead") or 0.0, 0.0, lease_seconds=15)
        waiting = LeasedTask("x", lambda lease: done.append("next") or 0.0, 0.0, lease_seconds=15)
        dead._take_turn()
        set_clock(-2 * HOURS)
        for seconds in range(5, 25, 5):
            set_clock(-2 * HOURS + seconds + 0.1)
            assert waiting._take_turn() in (0.0, 5.0)
        assert done == ["dead", "next"]

    def test_the_lease_of_a_dead_host_ends_after_its_length(self, set_clock: SetClock) -> None:
        assert lease.acquire_lease("a", "dead")
        set_clock(-2 * HOURS)
        assert not lease.acquire_lease("a", "next")
        set_clock(-2 * HOURS + 21)
        assert lease.acquire_lease("a", "next")


class TestAbandoned:
    """A host that is away and that no other worker replaces: any process settles its runs."""

    @pytest.fixture
    def host(self) -> Host:
        lease.acquire_lease("a", "dead")
        lease.renew_lease("a", "dead", {})
        return Host.objects.get(name="a")

    def settle_at(self, set_clock: SetClock, seconds: float) -> int:
        set_clock(seconds)
        return abandoned.settle_abandoned_runs()

    def put(self, run: Run, status: Status, seconds: float) -> None:
        expires = timezone.now() + timedelta(seconds=seconds)
        rows = Run.objects.filter(pk=run.pk)
        rows.update(status=status, host="a", lease_owner="dead", lease_epoch=1, lease_expires_at=expires)

    @pytest.mark.parametrize("is_new_process", [True, False])
    def test_its_starting_run_is_queued_again(
        self, run: Run, host: Host, set_clock: SetClock, is_new_process: bool
    ) -> None:
        self.put(run, Status.STARTING, 30)
        if not is_new_process:
            assert self.settle_at(set_clock, 0) == 0
        assert self.settle_at(set_clock, -2 * HOURS) == 0
        assert self.settle_at(set_clock, -2 * HOURS + 29) == 0, "its worker may be alive"
        abandoned.clock_steps = ClockStepDetector()  # the step of 31 s is one of this test
        assert self.settle_at(set_clock, -2 * HOURS + 31) == 1
        run.refresh_from_db()
        assert run.status == Status.QUEUED

    def test_its_running_run_is_lost_in_time(self, run: Run, host: Host, set_clock: SetClock) -> None:
        self.put(run, Status.RUNNING, 30)
        assert self.settle_at(set_clock, -2 * HOURS) == 0
        abandoned.clock_steps = ClockStepDetector()
        assert self.settle_at(set_clock, -2 * HOURS + 31 + 600) == 1
        run.refresh_from_db()
        assert (run.status, run.reason) == (Status.LOST, "host_gone")

    def test_the_leases_of_a_living_host_stay(self, run: Run, host: Host, set_clock: SetClock) -> None:
        self.put(run, Status.RUNNING, 25)
        lasting = Run.objects.get(pk=run.pk).lease_expires_at
        self.settle_at(set_clock, 0)
        self.settle_at(set_clock, -3)  # a time server that slews the clock
        assert Run.objects.get(pk=run.pk).lease_expires_at == lasting
        assert Host.objects.get(name="a").heartbeat_at == host.heartbeat_at

    def test_it_can_be_deleted(self, host: Host, set_clock: SetClock) -> None:
        self.settle_at(set_clock, -2 * HOURS)
        set_clock(-2 * HOURS + 31)
        hosts.delete_host("a", get_admin())
        assert not Host.objects.exists()

    def test_a_sandbox_that_no_host_claims_is_lost_in_time(self, host: Host, set_clock: SetClock) -> None:
        row = WarmSandbox.objects.create(host=host, owner="dead", state="taken", taken_at=timezone.now())
        self.settle_at(set_clock, -2 * HOURS)
        row.refresh_from_db()
        assert row.taken_at < timezone.now() - timedelta(hours=1)


class TestBeats:
    def test_a_downtime_that_is_not_over_by_the_clock_is_none(self, set_clock: SetClock) -> None:
        record_tick()
        set_clock(3 * HOURS)
        assert (downtime := record_tick().downtime) is not None
        assert 3 * HOURS - 2 <= downtime.end - downtime.start <= 3 * HOURS + 2
        set_clock(3 * HOURS + 60)
        assert record_tick().downtime == downtime
        set_clock(1 * HOURS)
        assert record_tick().downtime is None
        set_clock(1 * HOURS + 60)
        assert record_tick().downtime is None

    def test_the_judge_too(self, set_clock: SetClock) -> None:
        record_moment()
        set_clock(3 * HOURS)
        moment = record_moment()
        assert moment.down is not None
        assert moment.down[1] == moment.now
        set_clock(-1 * HOURS)
        assert record_moment().down is None


class TestSchedules:
    """E11: a step back fires nothing twice, a step forward is downtime."""

    def tick(self, seconds: int = 0) -> float:
        return ScheduleTicker()._fire_and_find_pause()

    def store(self, make_job: Callable[..., Any], **values: Any) -> Schedule:
        now = timezone.now().replace(second=0, microsecond=0)
        return store_schedule(make_job(), "* * * * *", f"{now:%Y-%m-%dT%H:%M}", overlap="allow", **values)

    def test_two_hours_back_and_three_forward(self, make_job: Callable[..., Any], set_clock: SetClock) -> None:
        schedule = self.store(make_job, missed="latest", missed_within_seconds=7200)
        start = to_instant(schedule.cursor_at)
        base = start - timezone.now().timestamp()  # of the schedule's cursor, on the database's clock
        for minute in range(3):
            set_clock(base + 60 * minute + 0.5)
            self.tick()
        assert Run.objects.count() == 2
        for seconds in (60, 120):
            set_clock(base - 2 * HOURS + seconds + 0.5)
            assert self.tick() == pytest.approx(1.0), "no busy loop while the clock has not caught up"
        assert Run.objects.count() == 2, "nothing twice"
        set_clock(base + 1 * HOURS + 150.5)
        self.tick()
        states = list(Occurrence.objects.order_by("nominal_at").values_list("state", "count"))
        assert states == [("ran", 1), ("ran", 1), ("merged", 59), ("late", 1)]
        assert "Cronium did not run" in Occurrence.objects.get(state="merged").reason
        assert Run.objects.count() == 3

    def test_three_hours_forward_and_back(self, make_job: Callable[..., Any], set_clock: SetClock) -> None:
        self.store(make_job, missed="none")
        set_clock(60)
        self.tick()
        set_clock(3 * HOURS)
        self.tick()
        rows, runs = Occurrence.objects.count(), Run.objects.count()
        made = Schedule.objects.get()
        for seconds in range(0, 600, 60):
            set_clock(seconds)
            self.tick()
        assert (Occurrence.objects.count(), Run.objects.count()) == (rows, runs)
        assert Schedule.objects.get().cursor_at == made.cursor_at

    def test_a_new_schedule_after_both_is_in_time(self, make_job: Callable[..., Any], set_clock: SetClock) -> None:
        """Its times lie in the downtime that the clock has taken back."""
        record_tick()
        set_clock(3 * HOURS)
        record_tick()
        set_clock(60)
        made_at = timezone.now() + timedelta(seconds=60)
        schedule = store_schedule(make_job(), "* * * * * *", f"{made_at:%Y-%m-%dT%H:%M:%S}", overlap="allow")
        set_clock(65)
        self.tick()
        assert set(schedule.occurrences.values_list("state", flat=True)) == {"ran"}
        assert schedule.occurrences.count() >= 4

    def test_another_process_goes_on_after_the_holder_died(self, set_clock: SetClock) -> None:
        ScheduleTicker()
        acquire_lease(LEASE, "dead", LEASE_SECONDS)
        ticker = ScheduleTicker()
        ticker.stop_event.set()
        turns = 0
        for seconds in range(0, 30, 5):
            set_clock(-2 * HOURS + seconds + 0.1)
            turns += ticker._take_turn() == 0.0
        assert turns >= 2


def test_a_pull_whose_process_died_can_be_requested_again(set_clock: SetClock) -> None:
    Host.objects.create(name="a")
    name = canonicalize_reference("x:1")
    PulledImage.objects.create(host="a", reference=name, state=PullState.PULLING, changed_at=timezone.now())
    set_clock(-2 * HOURS)
    request_pull("x:1", "a")
    assert PulledImage.objects.values_list("state", flat=True)[0] == PullState.REQUESTED
