"""The number of a run is used once, whatever happens to the run and to its job."""

from importlib import import_module
from typing import Any

import pytest
from django.apps import apps

from cronium_admin.accounts.models import User
from cronium_admin.jobs.models import Job, RetiredSlug
from cronium_admin.jobs.service import delete_job, save_job
from cronium_admin.logs.throttle import Throttle
from cronium_admin.retention.deletion import delete_runs
from cronium_admin.runs.launch import launch, rerun
from cronium_admin.runs.models import Run, Status
from tests.conftest import Api
from tests.unit.test_launch import _at_once, stored_job
from tests.users import get_admin

__all__ = ["stored_job"]


def end_all() -> None:
    Run.objects.filter(finished_at=None).update(status=Status.SUCCEEDED, finished_at="2026-01-01T00:00:00Z")


def delete_numbers(*numbers: int) -> None:
    end_all()
    assert delete_runs(list(Run.objects.filter(number__in=numbers).values_list("pk", flat=True)), Throttle())


@pytest.fixture
def first(job: Job) -> Run:
    """The first of three ended runs."""
    runs = [launch(job, get_admin()) for _ in range(3)]
    end_all()
    return runs[0]


def again(run: Run) -> int:
    """The number of a rerun of this run."""
    return rerun(Run.objects.get(pk=run.pk), get_admin()).number


def test_the_newest_runs_of_a_live_job_are_deleted(first: Run) -> None:
    delete_numbers(2, 3)
    assert again(first) == 4


def test_the_newest_runs_are_deleted_before_their_job(first: Run, job: Job) -> None:
    delete_numbers(2, 3)
    delete_job(job)
    assert again(first) == 4


def test_the_newest_runs_are_deleted_after_their_job(first: Run, job: Job) -> None:
    delete_job(job)
    delete_numbers(3)
    assert again(first) == 4
    delete_numbers(4)
    assert again(first) == 5


def test_through_page_and_api(first: Run, job: Job, admin: Api, client: Any, people: dict[str, User]) -> None:
    assert admin.delete(f"/jobs/{job.slug}").status_code == 204
    made = admin.post(f"/runs/{first.pk}/rerun").json()
    assert made["number"] == 4
    end_all()
    assert admin.delete(f"/runs/{made['id']}").status_code == 204
    client.force_login(people["admin"])
    client.post(f"/runs/{first.pk}/rerun/")
    assert sorted(Run.objects.values_list("number", flat=True)) == [1, 2, 3, 5]


def test_the_job_had_another_slug_when_the_runs_were_made(first: Run, job: Job) -> None:
    job = save_job(job, {"slug": "renamed"}, get_admin())
    delete_numbers(2, 3)
    launch(job, get_admin())
    end_all()
    delete_job(job)
    assert again(first) == 4
    assert again(Run.objects.get(job_slug="renamed")) == 5


def test_two_jobs_of_one_slug_were_deleted(first: Run, job: Job, make_job: Any) -> None:
    delete_job(job)
    second = make_job(slug="report")
    assert launch(second, get_admin()).number == 1
    end_all()
    delete_job(second)
    assert again(first) == 4


def test_a_job_that_is_not_deleted_keeps_no_number(first: Run, job: Job) -> None:
    launch(job, get_admin())
    with pytest.raises(Exception, match="still live"):
        delete_job(job)
    save_job(job, {"name": "Another"}, get_admin())
    assert not RetiredSlug.objects.exists()


def test_jobs_that_were_deleted_before_the_upgrade(first: Run, job: Job) -> None:
    Job.objects.all().delete()
    assert not RetiredSlug.objects.exists()
    import_module("cronium_admin.runs.migrations.0019_retired_slugs").fill(apps, None)
    delete_numbers(3)
    assert again(first) == 4


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
@pytest.mark.parametrize("is_known", [True, False])
def test_reruns_at_once_have_numbers_of_their_own(stored_job: Job, is_known: bool) -> None:
    run = launch(stored_job, get_admin())
    end_all()
    delete_job(stored_job)
    if not is_known:
        RetiredSlug.objects.all().delete()
    assert sorted(_at_once(6, lambda: again(run))) == [2, 3, 4, 5, 6, 7]


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_a_launch_beside_the_deletion_of_its_job_is_counted_or_refused(stored_job: Job) -> None:
    run = launch(stored_job, get_admin())
    end_all()
    calls = iter([lambda: delete_job(stored_job), *[lambda: launch(stored_job, get_admin()).number] * 3])
    _at_once(4, lambda: next(calls)())
    end_all()
    for job in Job.objects.all():
        delete_job(job)
    made = Run.objects.count()
    assert again(run) == made + 1
