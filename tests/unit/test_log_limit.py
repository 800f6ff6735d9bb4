"""A run's log limit: by profile, job, launch and setting; and the behaviour of a full log."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.test import Client

from cronium_admin.accounts.models import User
from cronium_admin.jobs.models import Job
from cronium_admin.profiles.limits import resolve_log_limit
from cronium_admin.profiles.models import Profile
from cronium_admin.runs.launch import launch, rerun
from cronium_admin.runs.models import Run
from cronium_admin.runs.overrides import Overrides
from cronium_admin.workers.run_spec import build_spec
from executor.spec import MB
from tests.conftest import Api
from tests.users import get_admin

Says = Callable[[int | None], None]


@pytest.fixture
def installation_says(settings: Any) -> Says:
    """Sets CRONIUM_LOG_LIMIT_MB."""

    def say(value: int | None) -> None:
        settings.CONFIG = settings.CONFIG.model_copy(update={"log_limit_mb": value})

    return say


@pytest.mark.parametrize(
    ("installation", "wanted", "gets"),
    [
        *[(None, None, 50), (None, 1000, 1000), (None, 1, 1)],
        *[(10, None, 10), (10, 200, 10), (10, 3, 3)],
        *[(1000, None, 1000), (1000, 200, 200), (5000, None, 5000)],
    ],
)
def test_the_installation_is_the_default_and_caps_all(
    installation_says: Says, installation: int | None, wanted: int | None, gets: int
) -> None:
    installation_says(installation)
    assert resolve_log_limit(wanted) == gets


def test_the_nearer_one_wins_profile_job_launch(job: Job) -> None:
    def gets(**overrides: Any) -> int:
        return launch(Job.objects.select_related("profile").get(), get_admin(), Overrides(**overrides)).log_limit_mb

    assert gets() == 50
    Profile.objects.filter(name="small").update(log_limit_mb=60)
    assert gets() == 60
    Job.objects.update(log_limit_mb=70)
    assert gets() == 70
    assert gets(log_limit_mb=80) == 80
    assert gets(profile="large") == 50  # the profile sets no limit, and the job's own values are for its own profile


@pytest.mark.parametrize(("installation", "gets"), [(10, 10), (5000, 5000)])
def test_an_installation_that_relies_on_the_setting_alone_goes_on_as_it_was(
    installation_says: Says, operator: Api, job: Job, installation: int, gets: int
) -> None:
    installation_says(installation)
    answer = operator.post("/jobs/report/runs")
    assert answer.status_code == 202
    assert answer.json()["limits"]["log_limit_mb"] == gets
    assert operator.get("/jobs/report").json()["limits"]["log_limit_mb"] == gets
    assert operator.get("/profiles/small").json()["log_limit_mb"] == gets
    assert operator.post("/jobs/report/runs", {"log_limit_mb": 300}).json()["limits"]["log_limit_mb"] == min(300, gets)


def test_a_run_keeps_what_it_was_launched_with_and_a_rerun_too(editor: Api, job: Job) -> None:
    editor.patch("/jobs/report", {"log_limit_mb": 5, "on_log_limit": "drop"})
    first = editor.post("/jobs/report/runs", {"log_limit_mb": 7}).json()
    assert (first["limits"]["log_limit_mb"], first["on_log_limit"]) == (7, "drop")
    editor.patch("/jobs/report", {"log_limit_mb": None, "on_log_limit": "stop"})
    again = editor.post(f"/runs/{first['id']}/rerun").json()
    assert (again["limits"]["log_limit_mb"], again["on_log_limit"]) == (7, "drop")
    other = editor.post("/jobs/report/runs").json()
    assert (other["limits"]["log_limit_mb"], other["on_log_limit"]) == (50, "stop")


def test_the_executor_gets_it_in_bytes_and_whether_to_drop(job: Job) -> None:
    run = launch(job, get_admin(), Overrides(log_limit_mb=7))
    spec = build_spec(run, "instance", "host")
    assert (spec.log_limit_bytes, spec.drop_past_limit) == (7 * MB, False)
    Job.objects.update(on_log_limit="drop")
    assert build_spec(launch(Job.objects.get(), get_admin()), "instance", "host").drop_past_limit


def test_the_hosts_cap_holds_for_what_was_launched_before_it(installation_says: Says, job: Job) -> None:
    run = launch(job, get_admin(), Overrides(log_limit_mb=700))
    installation_says(20)
    for each in (run, rerun(run, get_admin())):
        assert build_spec(each, "instance", "host").log_limit_bytes == 20 * MB


def test_a_profile_takes_the_default_back(admin: Api, job: Job) -> None:
    assert admin.patch("/profiles/small", {"log_limit_mb": 200}).json()["log_limit_mb"] == 200
    assert admin.get("/jobs/report").json()["limits"]["log_limit_mb"] == 200
    assert admin.patch("/profiles/small", {"log_limit_mb": None}).json()["log_limit_mb"] == 50
    made = admin.post("/profiles", {"name": "chatty", "cpu": 1, "memory_mb": 64, "pids": 20, "log_limit_mb": 1000})
    assert (made.status_code, made.json()["log_limit_mb"]) == (201, 1000)


@pytest.mark.parametrize("value", ["keep", "", None, 1, "STOP"])
def test_a_job_stops_or_drops_and_nothing_else(editor: Api, job: Job, value: Any, nothing_stored: None) -> None:
    answer = editor.patch("/jobs/report", {"on_log_limit": value})
    assert (answer.status_code, list(answer.json()["fields"])) == (422, ["on_log_limit"])


def test_the_database_knows_the_two_words(job: Job) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        Job.objects.update(on_log_limit="keep")


@pytest.mark.parametrize("body", [{"on_log_limit": "drop"}, {"log_limit_mb": "5"}, {"log_limit_mb": True}])
def test_a_launch_changes_the_number_only(operator: Api, job: Job, body: dict[str, Any]) -> None:
    answer = operator.post("/jobs/report/runs", body)
    assert (answer.status_code, list(answer.json()["fields"])) == (422, list(body))
    assert not Run.objects.exists()


def test_the_pages_say_how_much_and_what_then(people: dict[str, User], job: Job) -> None:
    page = Client()
    page.force_login(people["viewer"])
    stops = launch(job, get_admin())
    Job.objects.update(on_log_limit="drop", log_limit_mb=1000)
    drops = launch(Job.objects.select_related("profile").get(), get_admin())
    for address, says in (
        (f"/runs/{stops.pk}/", "50 MB, then the run is stopped"),
        (f"/runs/{stops.pk}/details/", "50 MB, then the run is stopped"),
        (f"/runs/{drops.pk}/", "1,000 MB, the rest is dropped"),
        (f"/runs/{drops.pk}/details/", "1,000 MB, the rest is dropped"),
        ("/jobs/report/settings/", "1,000 MB, the rest is dropped"),
    ):
        assert f'<dt>Log limit</dt><dd class="num">{says}</dd>' in page.get(address).content.decode()


def test_another_word_on_the_log_is_another_revision(editor: Api, job: Job) -> None:
    assert editor.patch("/jobs/report", {"on_log_limit": "stop", "log_limit_mb": None}).json()["revision"] == 1
    assert editor.patch("/jobs/report", {"on_log_limit": "drop"}).json()["revision"] == 2
    assert editor.patch("/jobs/report", {"log_limit_mb": 9}).json()["revision"] == 3
