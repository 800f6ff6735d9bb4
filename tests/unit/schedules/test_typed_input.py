"""The input of a schedule of a job with a schema: its form, and the page when the input does not fit any more."""

from collections.abc import Callable
from html import unescape
from typing import Any

import pytest
from django.test import Client

from cronium_admin.accounts.models import Membership, Project, User
from cronium_admin.jobs.models import Job
from cronium_admin.schedules import service
from cronium_admin.schedules.input_problems import list_input_problems
from cronium_admin.schedules.models import Schedule
from cronium_admin.variables.models import Variable
from tests.users import get_admin

pytestmark = pytest.mark.django_db
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"host": {"type": "string", "x-cronium": {"choices": {"variable": "shared/hosts"}}}},
}


@pytest.fixture
def typed(make_job: Callable[..., Job]) -> Job:
    Variable.objects.create(project_id=make_job().project_id, name="hosts", text='["one", "two"]')
    return make_job(slug="typed", input_schema=SCHEMA)


@pytest.fixture
def schedule(typed: Job) -> Schedule:
    data = {"name": "nightly", "kind": "cron", "rule": "0 2 * * *", "timezone": "UTC", "input": {"host": "one"}}
    return service.create_schedule(typed, data, get_admin())


def _read_page(client: Client, schedule: Schedule) -> str:
    return unescape(client.get(f"/schedules/{schedule.pk}/").content.decode())


def test_a_choice_that_vanished_is_named(schedule: Schedule, people: dict[str, User], client: Client) -> None:
    client.force_login(people["editor"])
    assert 'id="input-problems"' not in _read_page(client, schedule)
    Variable.objects.update(text='["two"]')
    text = _read_page(client, schedule)
    assert "Its launches are refused: its input does not fit today." in text
    assert "host: 'one' is not one of the choices" in text
    assert "Change the input" in text
    Variable.objects.update(text=None)
    assert "the variable shared/hosts has no value" in _read_page(client, schedule)
    Schedule.objects.update(enabled=False)
    client.force_login(people["viewer"])
    text = _read_page(client, schedule)
    assert "Its input does not fit today." in text
    assert "A user with the role Editor can change it." in text


def test_the_job_s_input_counts_for_a_schedule_without_one(schedule: Schedule, typed: Job) -> None:
    Schedule.objects.update(input=None)
    Job.objects.filter(pk=typed.pk).update(input={"host": "gone"})
    stored = service.find_schedule(get_admin(), schedule.pk)
    assert "gone" in list_input_problems(stored)[0]
    Job.objects.filter(pk=typed.pk).update(input_schema=None)
    assert list_input_problems(service.find_schedule(get_admin(), schedule.pk)) == []


def test_the_form_has_the_fields_of_a_job_with_a_schema_only(
    schedule: Schedule, make_job: Callable[..., Job], people: dict[str, User], client: Client
) -> None:
    client.force_login(people["editor"])
    text = client.get(f"/schedules/{schedule.pk}/edit/").content.decode()
    assert 'data-typed-input="typed-form"' in text
    assert text.count('name="input"') == 1
    make_job(slug="plain")
    plain = client.get("/jobs/plain/schedules/new/").content.decode()
    assert "data-typed-input" not in plain
    assert plain.count('name="input"') == 1


def test_a_member_of_another_project_sees_none_of_it(schedule: Schedule, client: Client) -> None:
    member = User.objects.create(username="member", role="")
    south = Project.objects.create(name="South", slug="south")
    Membership.objects.create(user=member, project=south, role="editor")
    client.force_login(member)
    for url in (f"/schedules/{schedule.pk}/", f"/schedules/{schedule.pk}/edit/"):
        assert client.get(url).status_code == 404
