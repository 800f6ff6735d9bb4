"""What is late opens one incident, and the run that fulfils it closes it."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from cronium_admin.expectations import judge as judging
from cronium_admin.expectations.models import Incident, JudgeBeat, Watch
from cronium_admin.expectations.moment import Moment, record_moment
from cronium_admin.jobs.models import Job
from cronium_admin.runs.models import Run
from cronium_admin.schedules.models import Heartbeat, Occurrence
from tests.unit.expectations.conftest import START, after, end_at, launch_at, look
from tests.unit.schedules.conftest import store_schedule

pytestmark = pytest.mark.django_db
Watched = Callable[..., Job]


def newest() -> Incident:
    return Incident.objects.order_by("-pk")[0]


class TestStartBy:
    def test_a_run_that_waits_too_long(self, watched: Watched) -> None:
        run = launch_at(watched(start_by=60), after(seconds=10))
        assert look(after(seconds=69)) == []
        assert look(after(seconds=70)) == [("start_by", True)]
        incident = newest()
        assert (incident.run, incident.due_at) == (run, after(seconds=70))
        assert incident.reason == (
            "Run #1 has not started. It was launched at 2026-11-26 02:00:10 UTC and had to start within 1 min."
        )
        assert look(after(minutes=9)) == [("start_by", True)], "one incident only"
        Run.objects.filter(pk=run.pk).update(status="running", started_at=after(minutes=10))
        assert look(after(minutes=11)) == [("start_by", False)]
        incident = newest()
        assert (incident.closing, incident.closed_by) == ("fulfilled", run)
        assert incident.closing_text == "Run #1 started at 2026-11-26 02:10:00 UTC, 8 min 50 s after the deadline."
        assert look(after(minutes=12)) == [("start_by", False)]

    def test_a_run_in_time(self, watched: Watched) -> None:
        run = launch_at(watched(start_by=60), START)
        Run.objects.filter(pk=run.pk).update(status="running", started_at=after(seconds=5))
        assert look(after(hours=5)) == []

    def test_the_judge_looks_again_at_the_deadline(self, watched: Watched) -> None:
        launch_at(watched(start_by=60), START)
        assert judging.judge(Moment(after(seconds=58), after(seconds=53))) == 2.0
        assert judging.judge(Moment(after(seconds=30), after(seconds=25))) == judging.MAX_PAUSE_SECONDS

    def test_a_cancelled_run_is_waited_for_no_longer(self, watched: Watched) -> None:
        run = launch_at(watched(start_by=60), START)
        look(after(minutes=2))
        Run.objects.filter(pk=run.pk).update(status="cancelled", finished_at=after(minutes=3))
        assert look(after(minutes=4)) == [("start_by", False)]
        assert (newest().closing, "without a start (cancelled)" in newest().closing_text) == ("ended", True)

    def test_the_next_late_run_has_an_incident_of_its_own(self, watched: Watched) -> None:
        job = watched(start_by=60)
        first, second = launch_at(job, START), launch_at(job, after(seconds=30))
        look(after(minutes=2))
        Run.objects.filter(pk=first.pk).update(status="running", started_at=after(minutes=3))
        assert look(after(minutes=4)) == [("start_by", False), ("start_by", True)]
        assert newest().run == second

    def test_a_scheduled_run_counts_from_its_planned_time(self, watched: Watched) -> None:
        launch_at(watched(start_by=60), after(minutes=5), scheduled_for=after(minutes=1), trigger="schedule")
        assert look(after(minutes=5, seconds=1)) == [("start_by", True)]
        assert "planned for 2026-11-26 02:01:00 UTC" in newest().reason

    def test_a_missed_time_that_a_user_runs_counts_from_its_launch(self, watched: Watched) -> None:
        launch_at(watched(start_by=60), after(days=3), scheduled_for=after(minutes=1), trigger="catch_up")
        assert look(after(days=3, seconds=59)) == []
        assert look(after(days=3, seconds=60)) == [("start_by", True)]

    def test_a_further_attempt_counts_from_the_time_at_which_it_may_start(self, watched: Watched) -> None:
        of_retry = {"trigger": "retry", "scheduled_for": START, "not_before": after(minutes=30)}
        launch_at(watched(start_by=60), after(minutes=10), **of_retry)
        assert look(after(minutes=30, seconds=59)) == []
        assert look(after(minutes=31)) == [("start_by", True)]

    def test_one_that_runs_after_a_downtime_counts_from_its_planned_time(self, watched: Watched) -> None:
        launch_at(watched(start_by=60), after(hours=3), scheduled_for=after(hours=1), trigger="catch_up")
        down = (after(minutes=30), after(hours=3))
        assert look(after(hours=3, seconds=5), down=down, unscheduled=down) == [("start_by", True)]
        assert newest().reason.endswith(" Cronium was down from 2026-11-26 02:30:00 UTC to 2026-11-26 05:00:00 UTC.")


class TestPlannedTimes:
    def test_a_schedule_that_nobody_fires(self, watched: Watched) -> None:
        job = watched(start_by=60, finish_by=600)
        schedule = store_schedule(job, cursor="2026-11-26T02:30")  # next: 03:00
        dead = (after(minutes=55), None)
        assert look(after(minutes=61) - timedelta(seconds=1)) == []
        assert look(after(minutes=61), unscheduled=dead) == [("start_by", True)]
        incident = newest()
        assert (incident.schedule, incident.run) == (schedule, None)
        assert incident.reason == (
            "The schedule nightly has launched no run for 2026-11-26 03:00:00 UTC. A run had to start within 1 min. "
            "No process has looked at the schedules since 2026-11-26 02:55:00 UTC."
        )
        assert look(after(minutes=71), unscheduled=dead) == [("start_by", True), ("finish_by", True)]
        run = launch_at(job, after(minutes=75), scheduled_for=after(hours=1), trigger="schedule")
        type(schedule).objects.update(next_at=after(hours=2), due_at=after(hours=2))
        assert look(after(minutes=76)) == [("start_by", True), ("finish_by", True)], "it is queued"
        end_at(run, after(minutes=77))
        assert look(after(minutes=78)) == [("start_by", False), ("finish_by", False)]
        assert set(Incident.objects.values_list("closed_by", flat=True)) == {run.pk}

    @pytest.mark.parametrize(("state", "opens"), [("missed", True), ("not_ready", True), ("overlapped", False)])
    def test_a_time_without_a_run(self, watched: Watched, state: str, opens: bool) -> None:
        job = watched(start_by=60)
        schedule = store_schedule(job, cursor="2026-11-26T03:30")
        row = {"nominal_at": after(hours=1), "last_nominal_at": after(hours=1), "rule_number": 1}
        Occurrence.objects.create(schedule=schedule, state=state, reason="It is so", **row)
        assert look(after(hours=1, seconds=2)) == [("start_by", True)] * opens
        if not opens:
            return
        assert newest().reason == "The schedule nightly launched no run for 2026-11-26 03:00:00 UTC: It is so."
        opened = newest().opened_at
        late = launch_at(job, opened + timedelta(minutes=1))
        Run.objects.filter(pk=late.pk).update(status="running", started_at=opened + timedelta(minutes=2))
        assert look(after(hours=1, seconds=5)) == [("start_by", False)]
        assert look(after(hours=1, seconds=10)) == [("start_by", False)], "a deadline has one incident"


class TestFinishBy:
    def test_a_run_that_takes_too_long(self, watched: Watched) -> None:
        run = launch_at(watched(finish_by=600), START, status="running", started_at=after(seconds=3))
        assert look(after(seconds=599)) == []
        assert look(after(minutes=10)) == [("finish_by", True)]
        end_at(run, after(minutes=11), "failed")
        assert look(after(minutes=12)) == [("finish_by", False)]
        assert newest().closing_text == ("Run #1 ended (failed) at 2026-11-26 02:11:00 UTC, 1 min after the deadline.")

    def test_what_ended_while_no_process_judged(self, watched: Watched) -> None:
        run = launch_at(watched(finish_by=600, start_by=60), START, started_at=after(minutes=2))
        end_at(run, after(minutes=20))
        look(after(minutes=30), previous=after(minutes=1))
        assert look(after(minutes=31)) == [("start_by", False), ("finish_by", False)]
        assert Incident.objects.filter(closed_by=run).count() == 2
        assert "started too late, at 2026-11-26 02:02:00 UTC" in Incident.objects.get(kind="start_by").reason


class TestSucceedEvery:
    def test_no_success_for_too_long(self, watched: Watched) -> None:
        job = watched(succeed_every=3600, succeed_grace=300)
        end_at(launch_at(job, after(minutes=10)), after(minutes=20))
        end_at(launch_at(job, after(minutes=70)), after(minutes=80), "failed")
        assert look(after(minutes=84)) == []
        assert look(after(minutes=85)) == [("succeed_every", True)]
        assert newest().reason == (
            "No run has succeeded since 2026-11-26 02:20:00 UTC. "
            "A success is expected every 1 h, with a grace of 5 min."
        )
        assert newest().due_at == after(minutes=85)
        good = launch_at(job, after(minutes=86))
        assert look(after(minutes=87)) == [("succeed_every", True)]
        end_at(good, after(minutes=88))
        assert look(after(minutes=89)) == [("succeed_every", False)]
        assert newest().closed_by == good
        assert look(after(minutes=88 + 64)) == [("succeed_every", False)]
        assert look(after(minutes=88 + 65)) == [("succeed_every", False), ("succeed_every", True)]

    def test_a_job_that_never_ran(self, watched: Watched) -> None:
        watched(succeed_every=3600)
        assert look(after(minutes=59)) == []
        assert look(after(minutes=60)) == [("succeed_every", True)]


class TestChanges:
    def test_nothing_of_the_past_is_judged(self, make_job: Callable[..., Job]) -> None:
        job = make_job(start_by=60)
        launch_at(job, after(days=-1))
        assert look(START) == look(after(days=1)) == []

    @pytest.mark.parametrize(
        ("change", "closing"),
        [({"enabled": False}, "disabled"), ({"start_by": None}, "removed"), ({"start_by": 9000}, "changed")],
    )
    def test_a_setting_that_is_gone_closes_it(self, watched: Watched, change: dict[str, Any], closing: str) -> None:
        job = watched(start_by=60)
        launch_at(job, START)
        look(after(minutes=2))
        Job.objects.filter(pk=job.pk).update(**change)
        assert look(after(minutes=3)) == [("start_by", False)]
        assert (newest().closing, newest().closed_by) == (closing, None)
        assert look(after(minutes=4)) == [("start_by", False)]
        assert Watch.objects.count() == (closing == "changed")

    def test_another_setting_leaves_it_open(self, watched: Watched) -> None:
        job = watched(start_by=60, succeed_every=7200)
        launch_at(job, START)
        look(after(minutes=2))
        Job.objects.filter(pk=job.pk).update(succeed_every=3600)
        assert look(after(minutes=10)) == [("start_by", True)]
        assert look(after(minutes=69)) == [("start_by", True)]
        assert look(after(minutes=70)) == [("start_by", True), ("succeed_every", True)]


def test_the_queries_do_not_grow_with_the_jobs(make_job: Callable[..., Job]) -> None:
    counts = []
    for _ in range(2):
        for _ in range(5):
            job = make_job(start_by=600, finish_by=3600, succeed_every=86_400)
            look(START)
            launch_at(job, after(minutes=1))
        look(after(minutes=2))
        with CaptureQueriesContext(
            connection,
        ) as asked:
            look(after(minutes=3))
        counts.append(len(asked))
    assert counts[0] == counts[1], counts


def test_the_downtime_is_that_of_all_judges() -> None:
    first = record_moment()
    assert (first.previous, first.down, first.unscheduled) == (first.now, None, None)
    JudgeBeat.objects.update(judged_at=first.now - timedelta(hours=3))
    Heartbeat.objects.create(pk=1, ticked_at=first.now - timedelta(hours=2))
    again = record_moment()
    assert again.down is not None
    assert (again.previous, again.down[0]) == (first.now - timedelta(hours=3),) * 2
    assert again.unscheduled == (first.now - timedelta(hours=2), None)
    assert record_moment().down == again.down
