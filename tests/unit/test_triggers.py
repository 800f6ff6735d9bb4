"""What launched a run: `trigger` has one of the values of the API, on every way."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from cronium_admin.accounts.models import User
from cronium_admin.image_builds.launch import start_build
from cronium_admin.jobs.models import Job
from cronium_admin.runs.launch import launch
from cronium_admin.runs.models import BUILD_TRIGGER, Run
from cronium_admin.runs.retries import RETRY_TRIGGER
from cronium_admin.runs.triggers import Trigger, describe_trigger
from cronium_admin.schedules.catch_up import run_missed
from tests.conftest import Api
from tests.custom_images import make_ready_image
from tests.unit.schedules.conftest import fire, store_schedule
from tests.users import get_admin

pytestmark = pytest.mark.django_db
VALUES = (
    *("manual", "api", "rerun", "schedule", "catch_up", "retry", "webhook", "workflow", "build", "mcp"),
    *("cli", "try"),
)


def sign_in(people: dict[str, User]) -> Client:
    client = Client()
    client.force_login(people["admin"])
    return client


def launch_on_page(job: Job, people: dict[str, User]) -> None:
    assert sign_in(people).post(f"/runs/launch/{job.slug}/").status_code == 302


def launch_on_page_with(job: Job, people: dict[str, User]) -> None:
    answer = sign_in(people).post(f"/runs/launch/{job.slug}/", {"with": "1", "profile": "small", "input": "1"})
    assert answer.status_code == 302, answer.content


def launch_over_api(job: Job, people: dict[str, User]) -> None:
    assert Api(people["operator"]).post(f"/jobs/{job.slug}/runs").status_code == 202


def rerun_on_page(job: Job, people: dict[str, User]) -> None:
    first = launch(job, get_admin())
    assert sign_in(people).post(f"/runs/{first.pk}/rerun/").status_code == 302


def rerun_over_api(job: Job, people: dict[str, User]) -> None:
    first = launch(job, get_admin())
    assert Api(people["operator"]).post(f"/runs/{first.pk}/rerun").status_code == 202


def launch_by_schedule(job: Job, people: dict[str, User]) -> None:
    fire(store_schedule(job), "2026-11-26T01:00")


def launch_after_downtime(job: Job, people: dict[str, User]) -> None:
    fire(store_schedule(job), "2026-11-26T01:30", ("2026-11-26T00:45", "2026-11-26T01:30"))


def launch_missed_on_request(job: Job, people: dict[str, User]) -> None:
    schedule = store_schedule(job, missed="none")
    fire(schedule, "2026-11-26T01:30", ("2026-11-26T00:45", "2026-11-26T01:30"))
    run_missed(schedule, 1, get_admin())


def launch_at_start(job: Job, people: dict[str, User]) -> None:
    from cronium_admin.schedules.starts import record_start
    from tests.unit.schedules.conftest import at

    schedule = store_schedule(job, "@reboot")
    record_start(at("2026-11-26T01:00"))
    fire(schedule, "2026-11-26T01:00:02")


def build_image(job: Job, people: dict[str, User]) -> None:
    start_build(make_ready_image("tools"), get_admin())


def try_on_page(job: Job, people: dict[str, User]) -> None:
    fields = {"name": job.name, "language": job.language, "profile": job.profile.name, "timeout_seconds": "60"}
    answer = sign_in(people).post(f"/runs/try/{job.slug}/", {**fields, "script": "echo try", "enabled": "on"})
    assert answer.status_code == 302, answer.content


def rerun_try(job: Job, people: dict[str, User]) -> None:
    try_on_page(job, people)
    assert Api(people["editor"]).post(f"/runs/{Run.objects.get().pk}/rerun").status_code == 202
    Run.objects.filter(parent=None).delete()


WAYS: list[tuple[Callable[[Job, dict[str, User]], None], str]] = [
    (launch_on_page, "manual"),
    (launch_on_page_with, "manual"),
    (launch_over_api, "api"),
    (rerun_on_page, "rerun"),
    (rerun_over_api, "rerun"),
    (launch_by_schedule, "schedule"),
    (launch_at_start, "schedule"),
    (launch_after_downtime, "catch_up"),
    (launch_missed_on_request, "catch_up"),
    (build_image, "build"),
    (try_on_page, "try"),
    (rerun_try, "try"),
]


@pytest.mark.parametrize(("way", "trigger"), WAYS)
def test_each_way_has_its_trigger(way: Any, trigger: str, job: Job, people: dict[str, User]) -> None:
    way(job, people)
    run = Run.objects.latest("created_at", "number")
    assert run.trigger == trigger
    assert Api(people["viewer"]).get(f"/runs/{run.pk}").json()["trigger"] == trigger
    listed = Api(people["viewer"]).get(f"/runs?trigger={trigger}").json()["items"]
    assert [item["id"] for item in listed] == [str(run.pk)]
    assert sign_in(people).get(f"/runs/{run.pk}/").status_code == 200


def test_the_values_are_those_of_the_api() -> None:
    assert tuple(Trigger.values) == VALUES
    assert (BUILD_TRIGGER, RETRY_TRIGGER) == ("build", "retry")
    assert all(describe_trigger(value) != value for value in VALUES)
    assert describe_trigger("of another version") == "of another version"


class TestFilter:
    def test_several_and_an_unknown_one(self, job: Job, people: dict[str, User]) -> None:
        launch_on_page(job, people)
        launch_over_api(job, people)
        api = Api(people["viewer"])
        assert len(api.get("/runs?trigger=manual&trigger=api").json()["items"]) == 2
        assert api.get("/runs?trigger=webhook").json()["items"] == []
        answer = api.get("/runs?trigger=ui")
        assert (answer.status_code, list(answer.json()["fields"])) == (422, ["trigger"])
        assert "The triggers are: manual, api" in answer.json()["fields"]["trigger"][0]

    def test_on_the_page(self, job: Job, people: dict[str, User]) -> None:
        launch_on_page(job, people)
        launch_over_api(job, people)
        manual, api = Run.objects.get(trigger="manual"), Run.objects.get(trigger="api")
        client = sign_in(people)
        for url in ("/runs/", "/runs/rows/"):
            page = client.get(f"{url}?trigger=manual").content.decode()
            assert str(manual.pk) in page
            assert str(api.pk) not in page
        page = client.get("/runs/?trigger=manual").content.decode()
        assert re.search(r'name="trigger" value="manual"[^>]* checked', page)
        assert str(api.pk) in client.get("/runs/?trigger=nonsense").content.decode(), "ignored, as other filters"
        assert "from the dashboard" in client.get(f"/runs/{manual.pk}/").content.decode()
        assert "over the API" in client.get(f"/runs/{api.pk}/").content.decode()
