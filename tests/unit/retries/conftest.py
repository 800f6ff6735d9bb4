"""Helpers of the tests of retries."""

from collections.abc import Callable
from typing import Any

import pytest

from cronium_admin.jobs.models import Job
from cronium_admin.jobs.retry import normalize_retry
from cronium_admin.runs import state_machine
from cronium_admin.runs.launch import launch
from cronium_admin.runs.models import Run, Status
from cronium_admin.runs.state_machine import Ending
from tests.users import get_admin

Launch = Callable[..., Run]
FAILED = Ending(Status.FAILED, "exit_code", "The script exited with code 1.", 1)


def end(run: Run, ending: Ending = FAILED) -> None:
    """Ends the run as its host does."""
    Run.objects.filter(pk=run.pk).update(status=Status.RUNNING)
    assert state_machine.finish(run.pk, run.lease_epoch, ending)
    run.refresh_from_db()


def find_next(run: Run) -> Run | None:
    return Run.objects.filter(retry_of=run.group_id, attempt=run.attempt + 1).first()


def fail(run: Run, ending: Ending = FAILED) -> Run:
    """Ends the run; returns the next attempt, which must exist."""
    end(run, ending)
    following = find_next(run)
    assert following is not None
    return following


def read_last_event(run: Run) -> str:
    event = run.events.order_by("-id").first()
    return event.message if event else ""


@pytest.fixture
def start(make_job: Callable[..., Job]) -> Launch:
    """Launches a run of a new job with this setting."""

    def make(job: Job | None = None, **setting: Any) -> Run:
        retry = normalize_retry({"max": 2, "delay_seconds": 0, **setting})
        return launch(job or make_job(retry=retry), get_admin())

    return make
