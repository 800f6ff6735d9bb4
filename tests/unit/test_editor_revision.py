"""The editor with the settings of an earlier revision, to be changed and saved."""

import re

import pytest
from django.test import Client

from cronium_admin.accounts.models import User
from cronium_admin.jobs.models import Job
from cronium_admin.jobs.service import save_job
from cronium_admin.profiles.models import Profile
from tests.users import get_admin

pytestmark = pytest.mark.django_db


@pytest.fixture
def changed(job: Job) -> Job:
    """Its newest revision differs from the one before in text and settings."""
    save_job(job, {"timeout_seconds": 55}, get_admin())
    data = {"script": "print('second')\n", "timeout_seconds": 77, "profile": "large", "env": {"B": "2"}}
    return save_job(Job.objects.get(pk=job.pk), data, get_admin())


def open_editor(user: User, address: str) -> tuple[int, str]:
    client = Client()
    client.force_login(user)
    answer = client.get(address)
    return answer.status_code, answer.content.decode()


def find_value(page: str, name: str) -> str:
    found = re.search(rf'<input[^>]*name="{name}"[^>]*value="([^"]*)"', page)
    assert found
    return found[1]


def test_it_has_text_and_settings_of_the_revision(job: Job, changed: Job, people: dict[str, User]) -> None:
    first = changed.revision - 1
    status, page = open_editor(people["editor"], f"/jobs/report/edit/?revision={first}")
    assert status == 200
    assert f"The text and the settings of revision {first}." in page
    assert find_value(page, "timeout_seconds") == "55"
    assert find_value(page, "env_name") == "REGION"
    assert find_value(page, "revision") == str(changed.revision), "a save is refused if somebody saves meanwhile"
    assert 'data-changed="true"' in page
    assert "second" not in page.split("<textarea", 2)[1].split("</textarea>")[0]
    stored = Job.objects.get(pk=job.pk)
    assert (stored.revision, stored.timeout_seconds) == (changed.revision, 77), "nothing is stored"


def test_a_profile_that_is_gone_is_left_out(job: Job, changed: Job, people: dict[str, User]) -> None:
    Profile.objects.filter(pk=job.profile_id).update(name="renamed")
    status, page = open_editor(people["editor"], f"/jobs/report/edit/?revision={changed.revision - 1}")
    assert status == 200
    assert re.search(r'value="large"[^>]* checked', page)


@pytest.mark.parametrize("number", ["99", "0", "-1", "x", "9999999999999", "²"])
def test_an_unknown_revision_is_not_found(job: Job, people: dict[str, User], number: str) -> None:
    assert open_editor(people["editor"], f"/jobs/report/edit/?revision={number}")[0] == 404


@pytest.mark.parametrize("role", ["viewer", "operator"])
def test_others_may_not(changed: Job, people: dict[str, User], role: str) -> None:
    assert open_editor(people[role], "/jobs/report/edit/?revision=1")[0] == 403
