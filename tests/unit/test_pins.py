"""Pins: every user who sees a job may pin it, for themselves only."""

from collections.abc import Callable

import pytest
from django.test import Client

from cronium_admin.accounts.models import User
from cronium_admin.jobs import pins
from cronium_admin.jobs.list_models import JobPin
from cronium_admin.jobs.models import Job
from tests.conftest import Api


def test_a_pin_is_of_one_user_and_repeating_changes_nothing(db: None, job: Job, people: dict[str, User]) -> None:
    viewer = Api(people["viewer"])
    for _ in range(2):
        assert viewer.call("PUT", "/jobs/report/pin").status_code == 204
    assert list(JobPin.objects.values_list("user", "job")) == [(people["viewer"].pk, job.pk)]
    assert pins.list_pinned_ids(people["editor"]) == []
    for _ in range(2):
        assert viewer.delete("/jobs/report/pin").status_code == 204
    assert not JobPin.objects.exists()
    assert viewer.call("PUT", "/jobs/nothing/pin").status_code == 404


def test_the_button_works_without_script_and_with_htmx(
    db: None, job: Job, client: Client, people: dict[str, User]
) -> None:
    client.force_login(people["viewer"])
    page = client.get("/jobs/report/").content.decode()
    assert f'id="pin-{job.pk}" aria-pressed="false"' in page
    form = {"job": str(job.pk), "pinned": "on", "back": "/jobs/?q=rep"}
    assert client.post("/jobs/report/pin/", form)["Location"] == "/jobs/?q=rep"
    assert f'id="pin-{job.pk}" aria-pressed="true"' in client.get("/jobs/report/").content.decode()
    answer = client.post("/jobs/report/pin/", form | {"pinned": "off"}, headers={"HX-Request": "true"})
    assert 'aria-pressed="false"' in answer.content.decode()
    assert not JobPin.objects.exists()


@pytest.mark.parametrize(
    "back", ["", "https://evil.example/", "//evil.example", "javascript:x", "/\\evil.example", "a\0b", "/\0", "/ä"]
)
def test_it_leads_to_no_other_site(db: None, job: Job, client: Client, people: dict[str, User], back: str) -> None:
    client.force_login(people["viewer"])
    answer = client.post("/jobs/report/pin/", {"pinned": "on", "back": back})
    assert answer["Location"] == "/jobs/report/"


def test_the_number_of_pins_is_bounded(
    db: None, make_job: Callable[..., Job], people: dict[str, User], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pins, "MAX_PINS", 1)
    first, second = make_job(slug="one"), make_job(slug="two")
    viewer = Api(people["viewer"])
    assert viewer.call("PUT", f"/jobs/{first.slug}/pin").status_code == 204
    answer = viewer.call("PUT", f"/jobs/{second.slug}/pin")
    assert (answer.status_code, answer.json()["code"]) == (409, "too_many_pins")
