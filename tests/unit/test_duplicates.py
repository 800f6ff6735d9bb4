"""Duplicating a job: the editor filled from it, and a warning about equal names."""

import re
from collections.abc import Callable
from html import unescape

import pytest
from django.test import Client

from cronium_admin.accounts.models import Membership, Project, User
from cronium_admin.jobs.models import Job
from tests.conftest import Api

pytestmark = pytest.mark.django_db
FORM = {"name": "Report", "language": "bash", "script": "true", "profile": "small", "timeout_seconds": "60"}


def test_the_editor_is_filled_and_nothing_is_stored(
    client: Client, make_job: Callable[..., Job], people: dict[str, User]
) -> None:
    make_job(name="Nightly", slug="nightly", script="echo <deep>", env={"A": "b"}, tags=["x"], description="**why**")
    client.force_login(people["editor"])
    assert "/jobs/new/?from=nightly" in client.get("/jobs/nightly/").content.decode()
    page = unescape(client.get("/jobs/new/?from=nightly").content.decode())
    assert 'value="Nightly (copy)"' in page
    assert "echo <deep></textarea>" in page
    assert 'value="A"' in page
    assert "**why**</textarea>" in page
    assert "Schedules are not copied." in page
    assert 'name="revision"' not in page
    assert re.search(r'id="job-form" [^>]*action="/jobs/new/"[^>]* data-changed="true"', page)
    assert Job.objects.count() == 1


def test_it_takes_the_right_to_edit_the_source(client: Client, job: Job, people: dict[str, User]) -> None:
    client.force_login(people["operator"])
    assert client.get("/jobs/new/?from=report").status_code == 403
    assert "?from=" not in client.get("/jobs/report/").content.decode()
    south = Project.objects.create(name="South", slug="south")
    member = User.objects.create(username="member", role="")
    Membership.objects.create(user=member, project=south, role="editor")
    client.force_login(member)
    assert client.get("/jobs/new/?from=report").status_code == 404


def test_an_equal_name_is_told(client: Client, job: Job, people: dict[str, User]) -> None:
    client.force_login(people["editor"])
    page = client.post("/jobs/new/", FORM, follow=True).content.decode()
    assert "Another job has the name Report (report). The address of this one is report-2." in page
    listed = client.get("/jobs/").content.decode()
    assert '<span class="meta mono">report-2</span>' in listed
    Api(people["editor"]).patch("/jobs/report-2", {"name": "Other"})
    assert '<span class="meta mono">' not in client.get("/jobs/").content.decode()
