"""Fixtures of the tests of expectations: a judge that looks at times after the real time."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from cronium_admin.expectations.judge import judge
from cronium_admin.expectations.models import Incident
from cronium_admin.expectations.moment import Moment
from cronium_admin.jobs.models import Job
from cronium_admin.runs.launch import launch
from cronium_admin.runs.models import Run
from tests.users import get_admin

START = datetime.fromisoformat("2026-11-26T02:00:00+00:00")


def after(**span: float) -> datetime:
    return START + timedelta(**span)


def look(at: datetime, previous: datetime | None = None, **facts: Any) -> list[tuple[str, bool]]:
    """Judges at `at`; returns kind and whether it is open of each incident, oldest first."""
    judge(Moment(at, previous or at - timedelta(seconds=5), **facts))
    return [(row.kind, row.is_open) for row in Incident.objects.order_by("pk")]


@pytest.fixture
def watched(make_job: Callable[..., Job]) -> Callable[..., Job]:
    """A job that is watched since START."""

    def make(**settings: Any) -> Job:
        job = make_job(**settings)
        look(START)
        return job

    return make


def launch_at(job: Job, at: datetime, **columns: Any) -> Run:
    run = launch(job, get_admin())
    Run.objects.filter(pk=run.pk).update(created_at=at, **columns)
    run.refresh_from_db()
    return run


def end_at(run: Run, at: datetime, status: str = "succeeded") -> None:
    Run.objects.filter(pk=run.pk).update(status=status, started_at=run.started_at or at, finished_at=at)
