"""`not_before`: no host claims a run before its time."""

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from django.utils import timezone

from cronium_admin.core.database.clock import database_now
from cronium_admin.jobs.models import Job
from cronium_admin.runs import state_machine
from cronium_admin.runs.launch import launch
from cronium_admin.runs.models import Run
from cronium_admin.runs.overrides import Overrides
from cronium_admin.runs.start_time import find_seconds_to_start
from cronium_admin.workers.hosts.service import fetch_hosts
from cronium_admin.workers.scheduling.capacity import Capacity, choose_next_run
from cronium_admin.workers.scheduling.diagnosis import explain_wait, find_unserved_queues
from tests.conftest import Api
from tests.users import get_admin

pytestmark = pytest.mark.django_db


def launch_at(job: Job, seconds: float) -> Run:
    return launch(job, get_admin(), Overrides(not_before=database_now() + timedelta(seconds=seconds)))


def test_no_host_claims_it_before_its_time(job: Job) -> None:
    later, now = launch_at(job, 3600), launch(job, get_admin())
    assert choose_next_run("east", Capacity()) == now.pk
    assert state_machine.claim_next("east", "owner") == now
    assert state_machine.claim_next("east", "owner") is None
    Run.objects.filter(pk=later.pk).update(not_before=timezone.now() - timedelta(seconds=1))
    assert choose_next_run("east", Capacity()) == later.pk


def test_a_large_run_that_waits_for_a_time_is_not_passed_over_yet(job: Job) -> None:
    """The minute in which smaller runs may overtake it begins at its time."""
    large, small = launch_at(job, 3600), launch(job, get_admin())
    now = timezone.now()
    Run.objects.filter(pk=large.pk).update(
        memory_mb=900, created_at=now - timedelta(hours=1), not_before=now - timedelta(seconds=5)
    )
    Run.objects.filter(pk=small.pk).update(memory_mb=10)
    capacity = Capacity(memory_bytes=2 * 2**30)
    busy = launch(job, get_admin())
    Run.objects.filter(pk=busy.pk).update(status="running", host="east", memory_mb=1200)
    assert choose_next_run("east", capacity) == small.pk
    Run.objects.filter(pk=large.pk).update(not_before=now - timedelta(minutes=2))
    assert choose_next_run("east", capacity) is None


def test_the_dispatcher_learns_when_the_next_may_start(job: Job) -> None:
    assert find_seconds_to_start(["default"]) is None
    launch_at(job, 100)
    launch_at(job, 50)
    seconds = find_seconds_to_start(["default"])
    assert seconds is not None
    assert 45 < seconds <= 50
    assert find_seconds_to_start(["gpu"]) is None
    Run.objects.update(not_before=timezone.now() - timedelta(seconds=1))
    assert find_seconds_to_start(["default"]) is None


def test_the_reason_why_it_waits(job: Job) -> None:
    run = launch_at(job, 3600)
    why = explain_wait(run, get_admin())
    assert why is not None
    assert (why.words, why.stuck) == (f"It waits until {run.not_before:%Y-%m-%d %H:%M:%S} UTC.", False)
    assert find_unserved_queues(fetch_hosts()) == []


class TestApi:
    def test_a_launch_names_the_time(self, operator: Api, job: Job) -> None:
        at = (database_now() + timedelta(hours=2)).replace(microsecond=0)
        answer = operator.post("/jobs/report/runs", {"not_before": at.isoformat()})
        assert answer.status_code == 202
        run = answer.json()
        assert datetime.fromisoformat(run["not_before"]) == at
        assert (run["attempt"], run["max_attempts"], run["retry_of"]) == (1, 1, None)

    def test_a_moment_ago_is_now(self, operator: Api, job: Job) -> None:
        at = datetime.now(UTC) - timedelta(seconds=30)
        assert operator.post("/jobs/report/runs", {"not_before": at.isoformat()}).json()["not_before"] is None

    @pytest.mark.parametrize(
        ("text", "problem"),
        [
            ("2020-01-01T00:00:00Z", "2020-01-01 00:00 UTC has passed"),
            ("2999-01-01T00:00:00Z", "At most 366 days ahead"),
            ("2999-01-01T00:00:00", "with the offset, such as"),
            ("18:00", "Write a date and a time"),
            ("9999-12-31T23:59:59-10:00", "Give a time between"),
            (5, "1970-01-01 00:00 UTC has passed"),
        ],
    )
    def test_a_wrong_time_is_refused(self, operator: Api, job: Job, text: Any, problem: str) -> None:
        answer = operator.post("/jobs/report/runs", {"not_before": text})
        assert answer.status_code == 422
        assert problem in " ".join(answer.json()["fields"]["not_before"])
        assert not Run.objects.exists()

    def test_the_same_key_with_another_time_is_refused(self, operator: Api, job: Job) -> None:
        at = database_now() + timedelta(hours=2)
        post = partial(operator.post, "/jobs/report/runs", Idempotency_Key="k")
        first = post({"not_before": at.isoformat()}).json()
        assert post({"not_before": at.isoformat()}).json()["id"] == first["id"]
        assert post({"not_before": (at + timedelta(hours=1)).isoformat()}).status_code == 409
