"""The setting `retry`: its checks and the delays."""

from datetime import timedelta
from typing import Any

import pytest
from django.core.exceptions import ValidationError

from cronium_admin.jobs.models import Job
from cronium_admin.jobs.retry import REASONS, check_retry, compute_delay, is_retried, normalize_retry
from cronium_admin.jobs.service import save_job
from cronium_admin.runs.presentation.reasons import DESCRIPTIONS
from tests.users import get_admin


def test_omitted_fields_have_defaults() -> None:
    assert normalize_retry({"max": 3}) == {
        **{"max": 3, "delay_seconds": 60, "backoff": "exponential", "max_delay_seconds": 3600, "total_seconds": None},
        **{"on": ["failed", "timed_out", "errored"], "exit_codes": []},
    }
    assert normalize_retry(None) is None
    assert normalize_retry({"max": 1, "delay_seconds": 7200}) == normalize_retry(
        {"max": 1, "delay_seconds": 7200, "max_delay_seconds": 7200}
    )


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ([], "Must be an object"),
        ({}, "max: Must be a whole number, 1 to 20."),
        ({"max": True}, "max: Must be a whole number"),
        ({"max": 21}, "max: 20 further attempts at most; this is 21."),
        ({"max": 0}, "max: 1 further attempt or more; this is 0."),
        ({"max": 1, "delay_seconds": -1}, "delay_seconds: 0 seconds or more"),
        ({"max": 1, "delay_seconds": 10**30}, "delay_seconds: 86,400 seconds at most"),
        ({"max": 1, "max_delay_seconds": 5}, "max_delay_seconds: Must be at least delay_seconds, 60."),
        ({"max": 1, "backoff": "linear"}, "backoff: Must be constant or exponential."),
        ({"max": 1, "total_seconds": 0}, "total_seconds: 1 second"),
        ({"max": 1, "on": []}, "on: Must be a list"),
        ({"max": 1, "on": ["cancelled"]}, "on: A cancelled run is never retried."),
        ({"max": 1, "on": ["timeot\0"]}, "on: 'timeot\\x00' is no status or reason."),
        ({"max": 1, "on": [{}]}, "on: '{}' is no status or reason."),
        ({"max": 1, "on": ["failed", "failed"]}, "on: An entry is listed twice."),
        ({"max": 1, "exit_codes": [0]}, "exit_codes: Must be a list of numbers, 1 to 255"),
        ({"max": 1, "exit_codes": "75"}, "exit_codes: Must be a list of numbers"),
        ({"max": 1, "exit_codes": [7, 7]}, "exit_codes: An exit code is listed twice."),
        ({"max": 1, "jitter": 1}, "jitter: Unknown field. The fields are max, delay_seconds"),
    ],
)
def test_a_wrong_value_is_refused_at_its_field(value: Any, problem: str) -> None:
    with pytest.raises(ValidationError) as refused:
        normalize_retry(value)
    assert refused.value.messages[0].startswith(problem)


def test_every_reason_is_one_that_a_run_can_have() -> None:
    own = {"exit_code", "timeout"}
    assert set(REASONS) - own <= set(DESCRIPTIONS)
    never = {"restored", "copied", "superseded", "job_disabled", "retry_expired", "concurrency_skipped"}
    assert {name for name in DESCRIPTIONS if not name.startswith("build_")} - never == set(REASONS) - own


@pytest.mark.parametrize(
    ("end", "setting", "is_next"),
    [
        (("failed", "exit_code", 3), {}, True),
        (("timed_out", "timeout", None), {}, True),
        (("errored", "image_pull_failed", None), {}, True),
        (("lost", "host_gone", None), {}, False),
        (("lost", "host_gone", None), {"on": ["lost"]}, True),
        (("lost", "host_gone", None), {"on": ["host_gone"]}, True),
        (("failed", "exit_code", 3), {"on": ["timed_out"]}, False),
        (("failed", "oom", 137), {"on": ["oom"]}, True),
        (("failed", "exit_code", 3), {"exit_codes": [75]}, False),
        (("failed", "exit_code", 75), {"exit_codes": [75]}, True),
        (("failed", "oom", 137), {"exit_codes": [75]}, True),
        (("cancelled", "cancelled", None), {}, False),
        (("succeeded", "exit_code", 0), {"on": ["exit_code"]}, False),
    ],
)
def test_by_status_reason_and_exit_code(
    end: tuple[str, str, int | None], setting: dict[str, Any], is_next: bool
) -> None:
    assert is_retried(check_retry({"max": 1, **setting})[0], *end) is is_next


def test_delays() -> None:
    constant, _ = check_retry({"max": 5, "delay_seconds": 30, "backoff": "constant"})
    assert [compute_delay(constant, number, "a") for number in (1, 5)] == [timedelta(seconds=30)] * 2
    growing, _ = check_retry({"max": 5, "delay_seconds": 10, "max_delay_seconds": 25})
    for number, cap in ((1, 10), (2, 20), (3, 25), (4, 25)):
        delays = [compute_delay(growing, number, str(seed)).total_seconds() for seed in range(200)]
        assert 0 <= min(delays) < cap / 10
        assert cap * 0.9 < max(delays) <= cap
    assert compute_delay(growing, 1, "a") == compute_delay(growing, 1, "a") != compute_delay(growing, 1, "b")


@pytest.mark.django_db
def test_it_is_a_setting_of_the_job_with_a_revision(job: Job) -> None:
    before = job.revision
    job = save_job(job, {"retry": {"max": 2}}, get_admin())
    assert job.retry == normalize_retry({"max": 2})
    assert job.revisions.get(number=before + 1).values["retry"] == job.retry
    assert save_job(job, {"retry": {"max": 2, "delay_seconds": 60}}, get_admin()).revision == before + 1
    assert save_job(job, {"retry": None}, get_admin()).retry is None
    assert Job.objects.filter(retry__isnull=True).exists()
