"""Texts of pages: a cancelled run, the tags of a job, an unknown URL."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from cronium_admin.accounts.models import User
from cronium_admin.jobs.models import Job
from cronium_admin.runs.launch import launch
from cronium_admin.runs.models import Run
from tests.users import get_admin


@pytest.fixture
def page(people: dict[str, User]) -> Client:
    client = Client()
    client.force_login(people["viewer"])
    return client


def test_who_cancelled_a_run_and_when(page: Client, job: Job, people: dict[str, User]) -> None:
    run, end = launch(job, get_admin()), timezone.now()
    began = end - timedelta(seconds=3.7)
    ended = {
        "status": "cancelled",
        "reason": "cancelled",
        "message": "Cancelled; its container has been stopped.",
        "finished_at": end,
    }
    Run.objects.update(**ended, started_at=began)
    assert "its container has been stopped" in page.get(f"/runs/{run.pk}/").content.decode()
    Run.objects.update(cancel_requested_by=people["operator"])
    assert "Cancelled by operator after 3.7 s." in page.get(f"/runs/{run.pk}/").content.decode()


def test_a_row_says_how_many_tags_it_does_not_show(page: Client, make_job: Callable[..., Job]) -> None:
    make_job(slug="tagged", tags=["a", "b", "c", "d", "e"])
    assert 'title="b, c, d, e">+4</span>' in page.get("/jobs/").content.decode()


def test_a_wrong_address_offers_a_search(page: Client) -> None:
    assert 'name="q"' in page.get("/nowhere/").content.decode()
    assert 'id="find-job"' not in Client().get("/nowhere/").content.decode()
