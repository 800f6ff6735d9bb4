"""The number of open incidents: in the navigation of each page, and as a metric."""

from collections.abc import Callable

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from cronium_admin.accounts.models import Membership, Project, User
from cronium_admin.expectations.models import Incident
from cronium_admin.jobs.models import Job
from cronium_admin.ops import metrics_endpoint
from tests.unit.expectations.conftest import after, look

pytestmark = pytest.mark.django_db
LATE = {"start_by": 60}


@pytest.fixture
def late(watched: Callable[..., Job]) -> list[Job]:
    """Two jobs without a success, each with an open incident."""
    jobs = [watched(succeed_every=60) for _ in range(2)]
    look(after(hours=2))
    assert Incident.objects.filter(closed_at=None).count() == 2
    return jobs


def read_navigation(client: Client, url: str = "/jobs/") -> str:
    page = client.get(url).content.decode()
    return page[page.index("<span>Incidents</span>") :].split("</a>")[0]


def test_nothing_without_open_incidents(client: Client, people: dict[str, User], db: None) -> None:
    client.force_login(people["viewer"])
    assert read_navigation(client) == "<span>Incidents</span>"


def test_the_navigation_counts_the_open_ones(client: Client, people: dict[str, User], late: list[Job]) -> None:
    client.force_login(people["viewer"])
    for url in ("/jobs/", "/runs/", "/incidents/", "/account/"):
        assert '>2<span class="vh"> open</span>' in read_navigation(client, url), url
    Incident.objects.filter(job=late[0]).update(closed_at=after(hours=3))
    assert '>1<span class="vh"> open</span>' in read_navigation(client)


def test_only_of_the_user_s_projects(client: Client, late: list[Job]) -> None:
    south = Project.objects.create(name="South", slug="south")
    user = User.objects.create(username="member", role="")
    Membership.objects.create(user=user, project=south, role="viewer")
    client.force_login(user)
    assert read_navigation(client) == "<span>Incidents</span>"
    Incident.objects.filter(job=late[0]).update(project=south)
    assert '>1<span class="vh"> open</span>' in read_navigation(client)


def test_it_takes_no_query_of_its_own(client: Client, people: dict[str, User], late: list[Job]) -> None:
    client.force_login(people["viewer"])
    client.get("/profiles/")
    with CaptureQueriesContext(connection) as captured:
        assert '>2<span class="vh">' in read_navigation(client, "/profiles/")
    counting = [query["sql"] for query in captured if "COUNT(" in query["sql"] and "incident" in query["sql"]]
    assert len(counting) == 1
    assert "runs_run" in counting[0], "one query for the live runs and the incidents"
    with CaptureQueriesContext(connection) as captured:
        client.get("/job-rows/")
    assert not [query for query in captured if "expectations_incident" in query["sql"] and "COUNT(" in query["sql"]]


def test_the_metric(monkeypatch: pytest.MonkeyPatch, late: list[Job]) -> None:
    monkeypatch.setattr(metrics_endpoint, "state_cache", metrics_endpoint.DatabaseStateCache())
    text = metrics_endpoint.render_metrics().decode()
    assert 'cronium_incidents_open{kind="succeed_every"} 2.0' in text
    assert 'cronium_incidents_open{kind="ping"} 0.0' in text
