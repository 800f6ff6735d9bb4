"""Judges and pings at once: one incident each, and no ping is lost. test_on_postgres runs it."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client

from cronium_admin.core.database.clock import database_now
from cronium_admin.expectations.check_models import Check
from cronium_admin.expectations.judge import judge
from cronium_admin.expectations.models import Incident
from cronium_admin.expectations.moment import Moment
from cronium_admin.jobs.models import Job
from cronium_admin.runs.models import Run
from tests.engine.schedules_on_postgres import run_at_once
from tests.unit.expectations.conftest import START, after, launch_at, look

pytestmark = pytest.mark.django_db(transaction=True, serialized_rollback=True)


@pytest.fixture(autouse=True)
def _on_postgres() -> None:
    assert connection.vendor == "postgresql"


def test_judges_open_and_close_an_incident_once(job: Job) -> None:
    Job.objects.filter(pk=job.pk).update(start_by=60, finish_by=600, succeed_every=3600)
    Check.objects.create(name="backup", period_seconds=60, status="up", due_at=START, expected_at=START)
    look(START - timedelta(seconds=1))
    run = launch_at(job, after(minutes=1))
    late, previous = after(hours=2), after(hours=2, seconds=-5)
    assert not [
        found for found in run_at_once(4, lambda _: judge(Moment(late, previous))) if isinstance(found, Exception)
    ]
    kinds = ["finish_by", "ping", "start_by", "succeed_every"]
    assert sorted(Incident.objects.values_list("kind", flat=True)) == kinds
    Run.objects.filter(pk=run.pk).update(status="succeeded", started_at=late, finished_at=late)
    run_at_once(4, lambda _: judge(Moment(late, previous)))
    open_kinds = Incident.objects.filter(closed_at=None).values_list("kind", flat=True)
    assert (list(open_kinds), Incident.objects.count()) == (["ping"], 4)


def test_pings_at_once_are_counted_one_by_one() -> None:
    check = Check.objects.create(name="backup", period_seconds=3600)

    def send(number: int) -> int:
        action = "/fail" if number % 2 else ""
        return Client().get(f"/ping/{check.ping_key}{action}").status_code

    assert run_at_once(8, send) == [200] * 8
    assert list(check.pings.values_list("number", flat=True)) == [8, 7, 6, 5, 4, 3, 2, 1]
    assert Incident.objects.filter(closed_at=None).count() <= 1
    last = check.pings.first()
    stored = Check.objects.get()
    assert last is not None
    assert stored.status == ("down" if last.kind == "fail" else "up")
    assert stored.last_ping_at is not None
    assert stored.last_ping_at <= database_now()
