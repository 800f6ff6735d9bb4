"""Advice from the measured runs of a job."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client

from cronium_admin.jobs.models import Job
from cronium_admin.profiles.limits import Limits
from cronium_admin.runs.advice import Advice, JobFacts, RunFacts, find_advice
from cronium_admin.runs.advice_facts import read_advice
from cronium_admin.runs.launch import launch
from cronium_admin.runs.models import Run
from cronium_admin.runs.trace import pack_offsets
from tests.conftest import Api
from tests.users import get_admin

NOW = datetime(2027, 3, 1, tzinfo=UTC)


def make_limits(cpu: str = "1", memory_mb: int = 512) -> Limits:
    return Limits(cpu=Decimal(cpu), memory_mb=memory_mb, pids=100, log_limit_mb=10)


JOB = JobFacts(
    make_limits(),
    3600,
    [("small", make_limits("0.5", 256)), ("lean", make_limits("1", 256)), ("large", make_limits("2", 2048))],
)
RUN = RunFacts("succeeded", "exit_code", make_limits(), 3600, NOW, 0.1, 120.0, 300.0, 60.0, {}, False, 1)
KILLED = replace(RUN, status="failed", reason="oom")
TIMED_OUT = replace(RUN, status="timed_out", reason="timeout")
PULLED = replace(RUN, trace={"queued": 0.0, "claimed": 100.0, "image_pulled": 20_100.0, "begun": 20_200.0})


def kinds(runs: list[RunFacts], job: JobFacts = JOB) -> list[str]:
    return [one.kind for one in find_advice(job, runs)]


def only(runs: list[RunFacts], job: JobFacts = JOB) -> Advice:
    (one,) = find_advice(job, runs)
    return one


@pytest.mark.parametrize("runs", [[], [RUN], [RUN] * 30])
def test_usual_runs_need_no_advice(runs: list[RunFacts]) -> None:
    assert kinds(runs) == []


def test_a_kill_for_memory_names_what_would_help() -> None:
    one = only([KILLED, *[RUN] * 11])
    assert (one.kind, one.is_problem) == ("memory_kill", True)
    assert one.finding == "1 of its last 12 runs was killed for memory at 512 MB."
    assert one.action == "The profile large has 2 GB."
    assert only([KILLED]).finding == "Its last run was killed for memory at 512 MB."
    assert only([KILLED, KILLED]).finding == "Its last 2 runs were killed for memory at 512 MB."


def test_without_a_larger_profile_the_job_has_to_set_it() -> None:
    job = replace(JOB, profiles=JOB.profiles[:2])
    assert only([KILLED], job).action == "No profile has more memory. Set the memory of the job higher."


def test_runs_with_other_limits_than_now_say_nothing() -> None:
    other = replace(KILLED, limits=make_limits(memory_mb=256))
    assert kinds([other] * 20) == []
    assert kinds([replace(TIMED_OUT, timeout=60)] * 20) == []


def test_a_finding_about_some_of_the_runs_says_of_which() -> None:
    other = [replace(RUN, limits=make_limits(memory_mb=1024), timeout=7200)] * 5
    assert only([*other, KILLED]).finding == "Its last run with this limit was killed for memory at 512 MB."
    assert only([*other, KILLED, RUN, TIMED_OUT][:-1]).finding.startswith("1 of its last 2 runs with this limit was")
    assert only([*other, TIMED_OUT]).finding.startswith("Its last run with this limit was ended by the timeout")
    near = [replace(RUN, peak_memory_mb=480.0)] * 12
    assert only([*other, *near]).finding.startswith("Its last 12 measured runs with this limit used up to 480 MB")


def test_the_smallest_share_of_a_cpu_is_not_advised_to_who_has_it() -> None:
    limits = make_limits("0.1")
    idle = replace(RUN, limits=limits, cpu_seconds=0.5)
    assert "cpu_low" not in kinds([idle] * 12, replace(JOB, limits=limits))


def test_memory_that_is_nearly_used_up() -> None:
    near = replace(RUN, peak_memory_mb=480.0)
    assert only([near] * 10).finding == "Its last 10 runs used up to 480 MB of 512 MB."
    assert kinds([near] * 9) == [], "too few"


def test_memory_that_is_hardly_used() -> None:
    one = only([replace(RUN, peak_memory_mb=30.0)] * 10)
    assert (one.kind, one.is_problem) == ("memory_low", False)
    assert one.finding == "Its last 10 runs used at most 30 MB of 512 MB (6%)."
    assert one.action == "The profile lean (256 MB) would fit.", "the profile small has less CPU"
    job = replace(JOB, profiles=JOB.profiles[2:])
    assert kinds([replace(RUN, peak_memory_mb=30.0)] * 10, job) == [], "nothing smaller"


def test_cpu() -> None:
    low = only([replace(RUN, cpu_seconds=7.2)] * 10)
    assert low.finding == "Its runs use 6% of their CPU limit (1 CPU) in the median, 6% at most."
    assert low.action == "0.1 CPU would be enough."
    high = only([replace(RUN, cpu_seconds=119.0)] * 10)
    assert (high.kind, high.action) == ("cpu_high", "The profile large has 2 CPU.")
    assert kinds([replace(RUN, cpu_seconds=1.0, took=20.0)] * 10) == [], "too short to be measured"
    assert kinds([replace(RUN, cpu_seconds=None)] * 10) == []
    assert kinds([*[replace(RUN, cpu_seconds=2.0)] * 10, replace(RUN, cpu_seconds=60.0)]) == [], "one needs half of it"


def test_timeouts() -> None:
    assert only([TIMED_OUT]).finding == "Its last run was ended by the timeout of 1 h."
    near = only([*[RUN] * 9, replace(RUN, took=3400.0)])
    assert near.finding == "A successful run took 56 min 40 s of the timeout of 1 h."


def test_logs_retries_and_waits() -> None:
    assert only([replace(RUN, is_log_cut=True), RUN]).finding == (
        "The log of 1 of the last 2 runs reached its limit of 10 MB."
    )
    retried = replace(RUN, attempt=2)
    assert only([retried, retried, *[RUN] * 8]).kind == "retried"
    waiting = only([replace(RUN, waited=25.0)] * 10)
    assert waiting.finding == "Its runs wait 25 s in the median before a host takes them, 25 s at most."


def test_waits_for_an_image_are_summed_up_by_day() -> None:
    assert only([PULLED, PULLED]).finding == (
        "Its runs wait 40 s a day for an image: 2 of the last 2 waited for a pull."
    )
    old = replace(PULLED, created_at=NOW - timedelta(days=10))
    assert kinds([PULLED, old]) == [], "4 s a day"


def test_problems_come_first() -> None:
    small = replace(RUN, peak_memory_mb=20.0)
    found = find_advice(JOB, [replace(TIMED_OUT, peak_memory_mb=20.0), *[small] * 10])
    assert [one.is_problem for one in found] == [True, False]


@pytest.mark.django_db
def test_the_facts_come_from_the_ended_runs(make_job: Callable[..., Job], admin: Api) -> None:
    job = make_job()
    ended: dict[str, Any] = {"status": "failed", "reason": "oom", "peak_memory_bytes": 5, "cpu_seconds": 2.0}
    first = launch(job, get_admin())
    launch(job, get_admin())  # waits
    times = {"claimed_at": first.created_at, "started_at": first.created_at, "finished_at": first.created_at}
    Run.objects.filter(pk=first.pk).update(**ended, **times, trace=pack_offsets({"queued": 0}))
    (one,) = read_advice(job, get_admin())
    assert one.finding.startswith("Its last run was killed for memory at ")
    assert admin.get(f"/jobs/{job.slug}/advice").json() == [
        {"kind": one.kind, "is_problem": True, "finding": one.finding, "action": one.action}
    ]
    browser = Client()
    browser.force_login(get_admin())
    assert one.finding in browser.get(f"/runs/advice/{job.slug}/").content.decode()
