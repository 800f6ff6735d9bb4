"""The limits on runs that run at once, and what becomes of a launch that meets one."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.test import Client

from cronium_admin.jobs.models import Job, QueueLimit
from cronium_admin.runs import state_machine
from cronium_admin.runs.launch import launch, rerun
from cronium_admin.runs.models import Run, Status
from cronium_admin.runs.overrides import Overrides
from cronium_admin.runs.state_machine import Ending
from cronium_admin.runs.timeline import build_timeline
from cronium_admin.workers.scheduling.capacity import Capacity, choose_next_run
from tests.conftest import Api
from tests.limits import limit_job
from tests.users import get_admin


def start(job: Job, value: Any = None, **more: Any) -> Run:
    return launch(job, get_admin(), Overrides(input=value, **more))


def claim(host: str = "east") -> Run | None:
    return state_machine.claim_next(host, host, partial(choose_next_run, host, Capacity(("default",))))


def claim_all() -> list[int]:
    return [run.number for run in iter(claim, None)]


def end(run: Run) -> None:
    stored = Run.objects.get(pk=run.pk)
    assert state_machine.finish(run.pk, stored.lease_epoch, Ending(Status.SUCCEEDED, "exit_code", ""))


def test_no_more_runs_than_the_limit_are_claimed(job: Job) -> None:
    runs = [start(limit_job(job, 2)) for _ in range(4)]
    assert claim_all() == [1, 2]
    end(runs[1])
    assert claim_all() == [3]


def test_the_limit_counts_for_each_key(job: Job) -> None:
    limit_job(job, 1, key="customer")
    runs = [start(job, {"customer": name}) for name in ("a", "a", "b", None)]
    assert [run.concurrency_key for run in runs] == ["a", "a", "b", ""]
    assert claim_all() == [1, 3, 4]


def test_the_limit_of_today_counts_for_runs_that_wait(job: Job) -> None:
    for _ in range(3):
        start(job)
    limit_job(job, 1)
    assert claim_all() == [1]
    limit_job(job, 2)
    assert claim_all() == [2]
    job.concurrency = None
    job.save()
    assert claim_all() == [3]


def test_a_claim_that_chose_before_the_limit_was_reached_changes_nothing(job: Job) -> None:
    first, second = start(limit_job(job, 1)), start(job)
    assert state_machine.claim_next("east", "east", lambda: first.pk) is not None
    assert state_machine.claim_next("west", "west", lambda: second.pk) is None
    assert Run.objects.get(pk=second.pk).status == Status.QUEUED


def test_the_limit_of_a_queue_counts_all_jobs(make_job: Callable[..., Job]) -> None:
    limit = QueueLimit.objects.create(queue="default", max_running=2)
    jobs = [make_job(), make_job(), make_job(queue="gpu")]
    runs = [start(job) for job in (*jobs, *jobs)]
    first, second = claim(), claim()
    assert first is not None
    assert second is not None
    assert claim() is None
    assert state_machine.claim_next("west", "w", partial(choose_next_run, "west", Capacity(("default",)))) is None
    gpu = state_machine.claim_next("west", "w", partial(choose_next_run, "west", Capacity(("default", "gpu"))))
    assert gpu is not None
    assert gpu.pk == runs[2].pk
    end(first)
    assert claim() is not None
    QueueLimit.objects.filter(pk=limit.pk).update(max_running=None)
    assert claim() is not None


def test_a_queue_with_the_limit_0_is_held(job: Job) -> None:
    start(job)
    QueueLimit.objects.create(queue="default", max_running=0)
    assert claim() is None


def test_a_run_of_a_deleted_job_is_no_run_of_the_limit(job: Job) -> None:
    run = start(limit_job(job, 1))
    assert claim() is not None
    other = start(job)
    Run.objects.filter(pk=other.pk).update(job=None)
    assert claim() is not None
    assert run.number == 1


def test_skip_ends_the_run_at_once_and_says_why(job: Job) -> None:
    limit_job(job, 2, when_full="skip")
    first, second, third = (start(job) for _ in range(3))
    assert (first.status, second.status) == (Status.QUEUED, Status.QUEUED)
    assert (third.status, third.reason) == (Status.CANCELLED, "concurrency_skipped")
    assert third.message == "Not run: the job runs at most 2 at once, and #1 and #2 were live."
    assert third.finished_at is not None
    assert [event.kind for event in build_timeline(third)] == ["queued", "cancelled"]
    assert claim_all() == [1, 2]
    end(first)
    assert start(job).status == Status.QUEUED


def test_cancel_oldest_cancels_and_both_pages_name_the_other(job: Job) -> None:
    limit_job(job, 1, key="customer", when_full="cancel_oldest")
    other = start(job, {"customer": "b"})
    first = start(job, {"customer": "a"})
    assert claim() is not None
    assert claim() is not None
    second = start(job, {"customer": "a"})
    assert Run.objects.get(pk=first.pk).cancel_requested_at is not None
    assert Run.objects.get(pk=other.pk).cancel_requested_at is None
    assert claim() is None, "the first has not ended yet"
    messages = [event.message for event in build_timeline(Run.objects.get(pk=first.pk))]
    assert f"Cancel requested by run #{second.number} (the job runs at most 1 at once for the key a)" in messages
    assert [event.message for event in build_timeline(second)][1] == (
        f"Cancelled #{first.number}: the job runs at most 1 at once for the key a"
    )
    third = start(job, {"customer": "a"})
    stored = Run.objects.get(pk=second.pk)
    assert stored.status == Status.CANCELLED
    assert stored.message.startswith(f"Cancelled by run #{third.number} (")
    end(first)
    claimed = claim()
    assert claimed is not None
    assert claimed.pk == third.pk


def test_a_run_that_must_wait_takes_no_waiting_sandbox(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    monkeypatch.setattr("cronium_admin.runs.launch._take_sandbox", lambda columns: asked.append(columns) or {})
    limit_job(job, 1)
    start(job)
    start(job)
    assert len(asked) == 1


def test_a_key_that_fails_refuses_the_launch_at_the_input(job: Job) -> None:
    limit_job(job, 1, key="length(customer)")
    with pytest.raises(ValidationError) as refused:
        start(job, {"customer": 5})
    assert "can't be computed from this input" in refused.value.message_dict["input"][0]
    assert not Run.objects.exists()


def test_a_rerun_counts_too_and_has_the_jobs_priority(job: Job) -> None:
    run = start(limit_job(job, 1, key="customer", when_full="skip"), {"customer": "a"}, priority=5)
    again = rerun(run, get_admin())
    assert (again.status, again.reason, again.concurrency_key) == (Status.CANCELLED, "concurrency_skipped", "a")
    assert (run.priority, again.priority) == (5, 3)


def test_the_api_answers_a_skipped_launch_with_the_ended_run(operator: Api, job: Job) -> None:
    limit_job(job, 1, when_full="skip")
    assert operator.post("/jobs/report/runs", {}).json()["status"] == "queued"
    skipped = operator.post("/jobs/report/runs", {})
    assert skipped.status_code == 202
    assert (skipped.json()["status"], skipped.json()["reason"]) == ("cancelled", "concurrency_skipped")
    assert (skipped.json()["priority"], skipped.json()["concurrency_key"]) == (3, "")


def test_a_higher_priority_than_the_jobs_needs_the_right_to_edit(operator: Api, editor: Api, job: Job) -> None:
    assert operator.post("/jobs/report/runs", {"priority": 1}).json()["priority"] == 1
    refused = operator.post("/jobs/report/runs", {"priority": 4})
    assert refused.status_code == 403
    assert list(refused.json()["fields"]) == ["priority"]
    assert editor.post("/jobs/report/runs", {"priority": 4}).json()["priority"] == 4
    for value in (0, 6, 10**30):
        assert list(editor.post("/jobs/report/runs", {"priority": value}).json()["fields"]) == ["priority"]


def wait_of(api: Api, run: Run) -> dict[str, Any]:
    return dict(api.get(f"/runs/{run.pk}/waiting").json())


def test_a_waiting_run_says_behind_which_runs_of_its_job_it_is(viewer: Api, job: Job) -> None:
    limit_job(job, 2, key="customer")
    runs = [start(job, {"customer": "a"}) for _ in range(4)]
    assert claim_all() == [1, 2]
    why = wait_of(viewer, runs[3])
    assert why["why"] == ("The job runs at most 2 at once for the key a. It starts when one of #1 and #2 has ended.")
    assert why["behind"] == [{"id": str(run.pk), "number": run.number, "job": "report"} for run in runs[:2]]
    assert (why["position"], why["runs"], why["stuck"]) == (2, 2, False)


def test_a_full_queue_and_runs_with_a_higher_priority_are_told(viewer: Api, job: Job) -> None:
    QueueLimit.objects.create(queue="default", max_running=1)
    first, last = start(job), start(job)
    for _ in range(3):
        start(job, priority=4)
    state_machine.claim_next("east", "east", lambda: first.pk)
    why = wait_of(viewer, last)
    assert why["why"] == (
        "The queue default is full: 1 of 1 run, on all hosts together. 3 runs with a higher priority are before it."
    )
    assert (why["position"], [other["number"] for other in why["behind"]]) == (4, [1])
    QueueLimit.objects.update(max_running=0)
    assert wait_of(viewer, last)["stuck"] is True


def test_the_page_of_a_waiting_run_links_what_it_is_behind(people: dict[str, Any], job: Job) -> None:
    limit_job(job, 1)
    first, second = start(job), start(job)
    claim()
    client = Client()
    client.force_login(people["viewer"])
    page = client.get(f"/hosts/waiting/{second.pk}/").content.decode()
    assert "It starts when #1 has ended." in page
    assert f'href="/runs/{first.pk}/"' in page
    assert "It is number 1 in the queue." in page


def test_an_administrator_limits_a_queue(admin: Api, viewer: Api, job: Job) -> None:
    start(job)
    changed = admin.patch("/queues/default", {"max_running": 2})
    assert changed.json() == {
        "name": "default",
        "max_running": 2,
        "version": 2,
        "active": 0,
        "waiting": 1,
        "hosts": [],
    }
    assert viewer.get("/queues").json()["items"] == [changed.json()]
    assert admin.patch("/queues/default", {"max_running": None}).json()["max_running"] is None
    assert admin.patch("/queues/night", {"max_running": 0}).status_code == 200
    assert [queue["name"] for queue in viewer.get("/queues").json()["items"]] == ["default", "night"]


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/queues/default", {"max_running": -1}, "max_running"),
        ("/queues/default", {"max_running": 10_001}, "max_running"),
        ("/queues/default", {"max_running": "4"}, "max_running"),
        ("/queues/default", {}, "max_running"),
        ("/queues/NO", {"max_running": 1}, "queue"),
        ("/queues/" + "x" * 41, {"max_running": 1}, "queue"),
    ],
)
def test_a_wrong_limit_of_a_queue_is_refused(admin: Api, path: str, body: dict[str, Any], field: str) -> None:
    refused = admin.patch(path, body)
    assert refused.status_code == 422, refused.content
    assert list(refused.json()["fields"]) == [field]
    assert not QueueLimit.objects.exists()


def test_the_page_keeps_a_refused_limit_and_says_why(people: dict[str, Any], job: Job) -> None:
    client = Client()
    client.force_login(people["admin"])
    for typed in ("many", "-1", "10001", "\u00b2"):
        answer = client.post("/hosts/queues/default/", {"max_running": typed, "version": "1"})
        page = answer.content.decode()
        assert answer.status_code == 422
        assert f'value="{typed}"' in page
        assert "10,000" in page
    assert client.post("/hosts/queues/default/", {"max_running": "3", "version": "1"}).status_code == 302
    assert "0 of 3" in client.get("/hosts/").content.decode()
    client.force_login(people["viewer"])
    assert "limit-default" not in client.get("/hosts/").content.decode()
