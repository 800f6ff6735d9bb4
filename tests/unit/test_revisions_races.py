"""Saves, launches, deletions and the removal of unused rows at the same moment: each run has the values of one save."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest
from django.db import IntegrityError, connection

from cronium_admin.accounts.models import User
from cronium_admin.jobs import revisions
from cronium_admin.jobs.models import Job, JobRevision, ScriptText
from cronium_admin.jobs.service import create_job, delete_job, save_job
from cronium_admin.runs.launch import launch, rerun
from cronium_admin.runs.models import Run
from cronium_admin.runs.shared_texts import delete_unused

pytestmark = pytest.mark.django_db(transaction=True, serialized_rollback=True)
ROUNDS = 12


def run_together(*actions: Callable[[int], Any]) -> None:
    def repeat(action: Callable[[int], Any]) -> None:
        try:
            for number in range(ROUNDS):
                action(number)
        finally:
            connection.close()

    with ThreadPoolExecutor(len(actions)) as threads:
        for future in [threads.submit(repeat, action) for action in actions]:
            future.result()


def make_values(name: str) -> dict[str, Any]:
    return {"script": f"echo {name}", "env": {"NAME": name}, "input": name}


def check_runs() -> None:
    for run in Run.objects.select_related("revision__script"):
        name = run.input
        assert (run.script, run.env, run.differs) == (f"echo {name}", {"NAME": name}, None)
        assert run.revision.number == run.job_revision


def test_a_run_has_the_values_of_one_save(people: dict[str, User]) -> None:
    by = people["editor"]
    job = create_job({"name": "Report", "language": "bash", **make_values("first")}, by)
    load = Job.objects.select_related("profile").get
    run_together(
        lambda number: save_job(job, make_values(f"a{number}"), by),
        lambda number: save_job(job, make_values(f"b{number}"), by),
        lambda number: launch(load(pk=job.pk), by),
        lambda number: launch(load(pk=job.pk), by),
    )
    check_runs()
    assert Run.objects.count() == 2 * ROUNDS
    numbers = list(job.revisions.order_by("number").values_list("number", flat=True))
    assert numbers == list(range(1, Job.objects.get().revision + 1))
    assert len(numbers) == 2 * ROUNDS + 1


def test_the_removal_of_unused_rows_removes_none_that_is_being_used(people: dict[str, User]) -> None:
    """The same few scripts lose their last job and get a new one all the time."""
    by, load = people["editor"], Job.objects.select_related("profile").get

    def live_once(slug: str) -> Callable[[int], None]:
        def make_run_and_delete(number: int) -> None:
            name = f"s{number % 2}"
            job = create_job({"name": slug, "slug": f"{slug}-{number}", "language": "bash", **make_values(name)}, by)
            run = launch(load(pk=job.pk), by)
            Run.objects.filter(pk=run.pk).update(status="failed", finished_at=run.created_at)
            delete_job(job)
            again = rerun(Run.objects.get(pk=run.pk), by)
            assert again.revision_id == run.revision_id
            if number % 3:
                Run.objects.filter(pk__in=[run.pk, again.pk]).delete()

        return make_run_and_delete

    def remove(number: int) -> None:
        with suppress(IntegrityError):  # a row was used at that moment: the next pass removes the others
            list(delete_unused())

    run_together(live_once("a"), live_once("b"), remove, remove)
    list(delete_unused())
    check_runs()
    used = set(Run.objects.values_list("revision_id", flat=True))
    assert set(JobRevision.objects.values_list("pk", flat=True)) == used
    assert set(ScriptText.objects.values_list("text", flat=True)) == {"echo s0", "echo s1"}


def test_a_script_that_a_save_has_found_is_not_removed(
    people: dict[str, User], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The removal runs between the moment in which a save finds the unused script, and its commit."""
    by = people["editor"]
    ScriptText.objects.create(digest=revisions.digest_script("echo x"), text="echo x")
    canonicalize, removals = revisions.canonicalize_job, list[threading.Thread]()

    def remove() -> None:
        try:
            with suppress(IntegrityError):
                list(delete_unused())
        finally:
            connection.close()

    def remove_meanwhile(job: Job) -> Any:
        removals.append(threading.Thread(target=remove))
        removals[0].start()
        removals[0].join(0.5)  # it waits for the lock
        return canonicalize(job)

    monkeypatch.setattr(revisions, "canonicalize_job", remove_meanwhile)
    job = create_job({"name": "Report", "language": "bash", **make_values("x")}, by)
    removals[0].join()
    assert job.revisions.get().script.text == "echo x"
