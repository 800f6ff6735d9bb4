"""The declared values of a run's input, in lists and as a filter."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from cronium_admin.accounts.models import Project, User
from cronium_admin.jobs.models import Job
from cronium_admin.runs.launch import launch, rerun
from cronium_admin.runs.models import Run, RunInput
from cronium_admin.runs.overrides import Overrides
from tests.conftest import Api
from tests.unit.inputs.test_job_schema import SCHEMA
from tests.unit.inputs.test_schema_check import of

pytestmark = pytest.mark.django_db


@pytest.fixture
def runs(make_job: Callable[..., Job], people: dict[str, User]) -> list[Run]:
    """In Europe, in America, in America without a dry run, and one of a job without a schema."""
    job, other = make_job(slug="typed", input_schema=SCHEMA), make_job(slug="other")
    values = ({"region": "eu"}, {"region": "us"}, {"region": "us", "dry_run": False})
    return [
        *(launch(job, people["operator"], Overrides(input=value)) for value in values),
        launch(other, people["operator"]),
    ]


def list_numbers(api: Api, query: str) -> list[int]:
    answer = api.get(f"/runs?{query}")
    assert answer.status_code == 200, answer.content
    return [item["number"] for item in answer.json()["items"] if item["job"]["slug"] == "typed"]


def test_the_values_are_in_the_list(viewer: Api, runs: list[Run]) -> None:
    shown = [item["input_summary"] for item in viewer.get("/runs").json()["items"]]
    assert shown == [None, "region=us · dry_run=false", "region=us · dry_run=true", "region=eu · dry_run=true"]


def test_runs_are_filtered_by_value(viewer: Api, runs: list[Run]) -> None:
    assert list_numbers(viewer, "input.region=us") == [3, 2]
    assert list_numbers(viewer, "input=region%3Dus&input.dry_run=true") == [2]
    assert list_numbers(viewer, "input.region=us&input.region=eu") == [3, 2, 1]
    assert list_numbers(viewer, "input=region%3Dus&input=region%3Deu&input=dry_run%3Dtrue") == [2, 1]
    assert list_numbers(viewer, "input.region=US") == []
    assert list_numbers(viewer, "input.region=u%00s") == []
    assert viewer.get("/runs?" + "&".join(f"input.f{n}=1" for n in range(6))).status_code == 422
    assert viewer.get("/runs?inputs.region=us").status_code == 422


@pytest.mark.parametrize("query", ["input.region=us", "input.region=eu", "input.region=us&input.region=eu"])
def test_a_frequent_value_finds_the_same_runs(
    viewer: Api, runs: list[Run], query: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = [item["number"] for item in viewer.get(f"/runs?{query}").json()["items"]]
    monkeypatch.setattr("cronium_admin.runs.input_values.FREQUENT", 1)
    assert [item["number"] for item in viewer.get(f"/runs?{query}").json()["items"]] == expected
    assert expected


def test_the_page_filters_and_keeps_the_filter(client: Client, people: dict[str, User], runs: list[Run]) -> None:
    client.force_login(people["viewer"])
    text = client.get("/runs/?input.region=us").content.decode()
    assert re.findall(r'class="num">#(\d)', text) == ["3", "2"]
    assert 'title="region=us · dry_run=false"' in text
    assert 'hx-get="/runs/rows/?input.region=us"' in text
    assert '<input type="hidden" name="input.region" value="us">' in text
    rows = client.get("/runs/rows/?input.region=us").content.decode()
    assert re.findall(r'class="num">#(\d)', rows) == ["3", "2"]
    assert "region=eu" in client.get("/jobs/typed/").content.decode()


def test_a_stranger_sees_no_values(client: Client, make_job: Callable[..., Job], people: dict[str, User]) -> None:
    hidden = make_job(slug="hidden", input_schema=SCHEMA, project=Project.objects.create(name="Other", slug="other"))
    launch(hidden, people["admin"], Overrides(input={"region": "eu"}))
    client.force_login(User.objects.create(username="member", role=""))
    assert client.get("/runs/?input.region=eu").content.decode().count("region=eu · ") == 0


def test_values_are_short_and_a_file_has_its_name(make_job: Callable[..., Job], people: dict[str, User]) -> None:
    schema: dict[str, Any] = of(
        note={"type": "string"},
        data={"type": "object", "x-cronium": {"file": {"as": "text"}}},
        days={"type": "array", "items": {"type": "integer"}},
        extra={"type": "number"},
    )
    value = {"note": "x" * 300 + "\nend", "data": {"name": "a.csv", "text": "secret text"}, "days": [1, 2], "more": 5}
    run = launch(make_job(input_schema=schema), people["operator"], Overrides(input=value))
    assert run.input_summary == f"note={'x' * 40}… · data=a.csv · days=1,2"
    stored = dict(RunInput.objects.filter(run=run).values_list("name", "value"))
    assert stored == {"note": "x" * 100, "data": "a.csv", "days": "1,2"}
    again = rerun(run, people["operator"])
    assert again.input_summary == run.input_summary
    run.delete()
    assert RunInput.objects.filter(run=again).count() == RunInput.objects.count() == 3
