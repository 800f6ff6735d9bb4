"""Why runs wait, in the list of runs: the same words as on the page of a run and in the API, in a few queries."""

import html
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from cronium_admin.accounts.models import User
from cronium_admin.jobs.models import Job, QueueLimit
from cronium_admin.runs.launch import launch
from cronium_admin.runs.models import Run, Status
from cronium_admin.runs.overrides import Overrides
from cronium_admin.workers.hosts.models import Host
from tests.conftest import Api
from tests.limits import limit_job
from tests.users import get_admin

pytestmark = pytest.mark.django_db
Read = Callable[..., dict[int, str]]


@pytest.fixture
def read(client: Client, people: dict[str, User]) -> Read:
    """Number and reason of each waiting run of a list that has one."""
    client.force_login(people["viewer"])

    def list_reasons(url: str = "/runs/") -> dict[int, str]:
        page = client.get(url).content.decode()
        pattern = r'at-why"><span class="(?:said why|meta)" title="([^"]*)">([^<]*)<'
        rows = [row for row in page.split("data-row") if re.search(pattern, row)]
        texts = [re.findall(pattern, row)[0] for row in rows]
        assert all(title == text for title, text in texts)
        numbers = [int(re.findall(r">#(\d+)<", row)[0]) for row in rows]
        return {number: html.unescape(text) for number, (_, text) in zip(numbers, texts, strict=True) if text}

    return list_reasons


@pytest.fixture
def host(db: None) -> Host:
    return Host.objects.create(name="east", heartbeat_at=timezone.now(), queues=["default"], capacity=9)


def start(job: Job, **values: Any) -> Run:
    return launch(job, get_admin(), Overrides(**values))


def mark_running(run: Run) -> None:
    Run.objects.filter(pk=run.pk).update(status=Status.RUNNING, host="east")


def test_each_reason_has_the_words_of_the_api(
    read: Read, viewer: Api, job: Job, make_job: Callable[..., Job], host: Host
) -> None:
    limit_job(job, 1)
    mark_running(start(job))
    of_job = start(job)
    QueueLimit.objects.create(queue="default", max_running=1)
    of_queue = start(make_job())
    elsewhere = start(make_job(queue="gpu"))
    large = start(make_job(cpu=None))
    for run, number in ((of_queue, 71), (elsewhere, 72), (large, 73)):
        Run.objects.filter(pk=run.pk).update(number=number)
    found = read()
    assert found[of_job.number] == "The job runs at most 1 at once. It starts when #1 has ended."
    assert found[71] == "The queue default is full: 1 of 1 run, on all hosts together."
    assert found[72].startswith("No host serves the queue gpu.")
    for run, number in ((of_job, of_job.number), (of_queue, 71), (elsewhere, 72), (large, 73)):
        assert viewer.get(f"/runs/{run.pk}/waiting").json()["why"].startswith(found[number])
    assert read(f"/jobs/{job.slug}/") == {of_job.number: found[of_job.number]}
    assert read("/runs/rows/") == found


def test_nothing_for_a_run_that_can_start_or_starts_later(read: Read, job: Job, host: Host) -> None:
    start(job)
    later = start(job, not_before=timezone.now() + timedelta(hours=1))
    assert read() == {}
    Host.objects.all().delete()
    assert list(read()) == [1]
    Run.objects.filter(pk=later.pk).update(not_before=timezone.now() - timedelta(minutes=1))
    assert list(read()) == [2, 1]


def test_the_queries_do_not_grow_with_the_runs(
    client: Client, people: dict[str, User], make_job: Callable[..., Job], host: Host
) -> None:
    client.force_login(people["viewer"])
    QueueLimit.objects.create(queue="default", max_running=50)

    def count() -> int:
        with CaptureQueriesContext(connection) as captured:
            client.get("/runs/rows/")
        return len(captured)

    count()
    idle = count()
    numbers = []
    for _ in range(2):
        for _ in range(4):
            job = limit_job(make_job(), 1)
            mark_running(start(job))
            start(job)
            start(make_job())
        numbers.append(count())
    assert numbers[0] == numbers[1]
    Run.objects.filter(status=Status.QUEUED).update(status=Status.RUNNING)
    assert count() <= idle + 1, "only the last lines of the logs"
    assert numbers[0] - idle == 7, "limits of jobs and queues, active and visible runs, two of hosts; last lines"
