"""Acts on many runs: confirmed with their number, told per run, with the rights on each run, and done once."""

from collections.abc import Callable
from html import unescape
from uuid import uuid4

import pytest
from django.http import HttpResponse
from django.test import Client

from cronium_admin.accounts.models import Membership, Project, User
from cronium_admin.jobs.models import Job
from cronium_admin.runs import bulk_runs
from cronium_admin.runs.bulk_runs import apply_to_runs
from cronium_admin.runs.launch import launch
from cronium_admin.runs.models import Run
from tests.conftest import Api
from tests.users import get_admin

pytestmark = pytest.mark.django_db


@pytest.fixture
def runs(job: Job) -> list[Run]:
    """Queued, running, failed, succeeded."""
    made = [launch(job, get_admin()) for _ in range(4)]
    for run, status in zip(made[1:], ("running", "failed", "succeeded"), strict=True):
        Run.objects.filter(pk=run.pk).update(status=status, host="east")
    return list(Run.objects.order_by("number"))


def _post(user: User, runs: list[Run], act: str, **fields: str) -> HttpResponse:
    client = Client()
    client.force_login(user)
    return client.post("/run-acts/", {"run": [run.pk for run in runs], "act": act, **fields})


def _read(answer: HttpResponse) -> str:
    return unescape(answer.content.decode())


def test_the_first_page_says_what_will_happen_and_changes_nothing(runs: list[Run], people: dict[str, User]) -> None:
    text = _read(_post(people["operator"], runs, "cancel", filter="job=report&status=live"))
    assert "<h1>Cancel 2 runs?</h1>" in text
    assert "2 of the chosen runs are left out" in text
    assert "#3: It has ended: failed." in text
    assert 'href="/runs/?job=report&status=live"' in text
    assert not Run.objects.exclude(cancel_requested_at=None).exists()
    text = _read(_post(people["operator"], runs, "rerun_failed"))
    assert "<h1>Run 1 run again?</h1>" in text
    assert "#4: It did not fail: succeeded." in text
    assert "#1: It has not ended: queued." in text
    assert Run.objects.count() == 4


def test_cancelling_again_changes_nothing(runs: list[Run], people: dict[str, User]) -> None:
    text = _read(_post(people["operator"], runs, "cancel", confirmed="yes"))
    assert "<h1>2 runs cancelled</h1>" in text
    assert "2 cancelled, 2 refused." in text
    assert [run.status for run in Run.objects.order_by("number")] == ["cancelled", "running", "failed", "succeeded"]
    assert Run.objects.get(number=2).cancel_requested_at
    again = _read(_post(people["operator"], runs[:2], "cancel", confirmed="yes"))
    assert "<h1>0 runs cancelled</h1>" in again
    assert "2 already so" in again


def test_a_run_is_repeated_once_for_each_key(runs: list[Run], people: dict[str, User]) -> None:
    for _ in range(2):
        text = _read(_post(people["operator"], runs[2:], "rerun", key="k" * 32, confirmed="yes"))
        assert "2 launched" in text
    made = Run.objects.filter(trigger="rerun")
    assert set(made.values_list("parent", flat=True)) == {run.pk for run in runs[2:]}
    assert made.count() == 2
    address = text.partition('">Show the new runs')[0].rpartition('href="')[2]
    client = Client()
    client.force_login(people["viewer"])
    listed = client.get(address).content.decode()
    assert [f'id="run-{run.pk}"' in listed for run in Run.objects.order_by("number")] == [False] * 4 + [True] * 2


def test_all_that_match_the_filter_and_allow_the_act(runs: list[Run], people: dict[str, User]) -> None:
    text = _read(_post(people["operator"], [], "rerun", scope="all", filter="job=report"))
    assert "<h1>Run 2 runs again?</h1>" in text
    assert "2 runs that match the filter have not ended." in text
    assert all(f'name="run" value="{run.pk}"' in text for run in runs[2:])
    assert "1 run that matches" in _read(_post(people["operator"], [], "cancel", scope="all", filter="status=failed"))


def test_an_attempt_that_was_followed_is_not_repeated(runs: list[Run], people: dict[str, User]) -> None:
    first, last = runs[2], runs[3]
    Run.objects.filter(pk__in=[first.pk, last.pk]).update(retry={"max": 1}, status="failed")
    Run.objects.filter(pk=last.pk).update(retry_of=first, attempt=2)
    rows = list(Run.objects.filter(pk__in=[first.pk, last.pk]).order_by("number"))
    results = apply_to_runs(people["operator"], rows, "rerun_failed")
    assert [(result.is_changed, result.refused) for result in results] == [
        (False, "Attempt 2 followed it."),
        (True, ""),
    ]


def test_rights_are_checked_for_each_run(runs: list[Run], make_job: Callable[..., Job]) -> None:
    south = Project.objects.create(name="South", slug="south")
    own = launch(make_job(slug="own", project=south), get_admin())
    member = User.objects.create(username="member", role="viewer")
    Membership.objects.create(user=member, project=south, role="operator")
    results = apply_to_runs(member, [own, runs[0]], "cancel")
    assert [(result.is_changed, bool(result.refused)) for result in results] == [(True, False), (False, True)]
    assert Run.objects.get(pk=runs[0].pk).status == "queued"
    client = Client()
    client.force_login(member)
    listed = client.get("/runs/").content.decode()
    assert [f'id="pick-{run.pk}"' in listed for run in (own, runs[0])] == [True, False]
    stranger = User.objects.create(username="stranger", role="")
    Membership.objects.create(user=stranger, project=south, role="operator")
    text = _read(_post(stranger, runs, "cancel", confirmed="yes"))
    assert "4 of the chosen runs were not found" in text
    assert _post(User.objects.create(username="vera", role="viewer"), runs, "cancel").status_code == 403
    answer = Api(stranger).post("/run-acts", {"act": "cancel", "runs": [str(runs[0].pk)]})
    assert [result["result"] for result in answer.json()["results"]] == ["not_found"]
    assert Run.objects.get(pk=runs[0].pk).status == "queued"


def test_a_run_that_ended_meanwhile_is_refused_in_words(runs: list[Run], people: dict[str, User]) -> None:
    Run.objects.filter(pk=runs[1].pk).update(status="succeeded")
    results = apply_to_runs(people["operator"], runs[:2], "cancel")
    assert [result.is_changed for result in results] == [True, False]
    assert "already ended" in results[1].refused


@pytest.mark.parametrize(
    ("act", "run", "words"),
    [("drop", "", "Choose what to do."), ("cancel", "", "Choose at least one run."), ("rerun", "x", "1 of the chosen")],
)
def test_bad_acts(people: dict[str, User], act: str, run: str, words: str) -> None:
    client = Client()
    client.force_login(people["operator"])
    answer = client.post("/run-acts/", {"act": act, **({"run": run} if run else {})})
    assert answer.status_code == 422
    assert words in answer.content.decode()


def test_the_number_is_bounded(runs: list[Run], people: dict[str, User], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cronium_admin.runs.bulk_run_views.MAX_RUNS", 1)
    monkeypatch.setattr(bulk_runs, "MAX_RUNS", 1)
    assert "More than 1 runs" in _read(_post(people["operator"], runs, "cancel", confirmed="yes"))
    assert "More than 1 runs" in _read(_post(people["operator"], [], "cancel", scope="all", confirmed="yes"))
    assert not Run.objects.filter(status="cancelled").exists()


def test_an_act_that_no_run_allows_is_not_asked_for(runs: list[Run], people: dict[str, User]) -> None:
    Run.objects.update(status="succeeded")
    text = _post(people["operator"], runs, "cancel").content.decode()
    assert "<h1>Nothing to do</h1>" in text
    assert "It has ended: succeeded." in text
    assert 'name="confirmed"' not in text


def test_viewers_see_no_boxes(runs: list[Run], people: dict[str, User], client: Client) -> None:
    for role, has_boxes in (("viewer", False), ("operator", True)):
        client.force_login(people[role])
        for url in ("/runs/", "/runs/rows/"):
            assert ('class="pick"' in client.get(url).content.decode()) == has_boxes
        assert ('class="bulk-bar"' in client.get("/runs/").content.decode()) == has_boxes


class TestApi:
    def test_each_run_has_a_result(self, runs: list[Run], operator: Api) -> None:
        body = {"act": "rerun", "runs": [str(runs[0].pk), str(runs[2].pk), str(uuid4())]}
        answers = [operator.call("POST", "/run-acts", body, Idempotency_Key="k" * 200).json() for _ in range(2)]
        assert [each["result"] for each in answers[0]["results"]] == ["refused", "changed", "not_found"]
        assert answers[0]["results"][0]["detail"] == "It has not ended: queued."
        assert answers[0] == answers[1]
        made = Run.objects.get(pk=answers[0]["results"][1]["new_run"])
        assert made.parent_id == runs[2].pk

    def test_a_filter_chooses_what_allows_the_act(self, runs: list[Run], operator: Api) -> None:
        answer = operator.post("/run-acts", {"act": "cancel", "filter": "job=report"}).json()
        assert {each["run"] for each in answer["results"]} == {str(run.pk) for run in runs[:2]}

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({"act": "cancel"}, "runs"),
            ({"act": "cancel", "runs": [str(uuid4())], "filter": "status=live"}, "runs"),
            ({"act": "drop", "filter": "status=live"}, "act"),
            ({"act": "cancel", "filter": "status=odd"}, "filter"),
            ({"act": "cancel", "filter": "period=1y"}, "filter"),
            ({"act": "cancel", "filter": "since=x"}, "filter"),
            ({"act": "cancel", "filter": "colour=red"}, "filter"),
            ({"act": "cancel", "filter": "job=none"}, "filter"),
            ({"act": "cancel", "filter": "?"}, "filter"),
            ({"act": "cancel", "filter": "&"}, "filter"),  # names nothing: it must not mean all
            ({"act": "cancel", "filter": "input==x"}, "filter"),
            ({"act": "cancel", "filter": "input.=x"}, "filter"),
            ({"act": "cancel", "filter": "period=1h&period=7d"}, "filter"),
            ({"act": "cancel", "runs": ["x"]}, "runs.0"),
        ],
    )
    def test_bad_requests(self, runs: list[Run], operator: Api, body: dict[str, object], field: str) -> None:
        answer = operator.post("/run-acts", body)
        assert (answer.status_code, list(answer.json()["fields"])) == (422, [field])
        assert not Run.objects.filter(status="cancelled").exists()

    def test_jobs(self, job: Job, editor: Api, operator: Api) -> None:
        body = {"act": "add_tag", "tag": "new", "jobs": [job.slug, "none"]}
        answer = editor.post("/job-acts", body).json()
        assert [(each["job"], each["result"]) for each in answer["results"]] == [
            (job.slug, "changed"),
            ("none", "not_found"),
        ]
        assert operator.post("/job-acts", body).json()["results"][0]["result"] == "refused"
        launched = [
            operator.call("POST", "/job-acts", {"act": "run", "filter": "tag=new"}, Idempotency_Key="one").json()
            for _ in range(2)
        ]
        assert launched[0] == launched[1]
        assert Run.objects.get().trigger == "api"

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({"act": "run"}, "jobs"),
            ({"act": "add_tag", "tag": "No Tag", "filter": "tag=x"}, "tag"),
            ({"act": "run", "filter": "state=odd"}, "filter"),
            ({"act": "run", "filter": "sort=name"}, "filter"),
            ({"act": "run", "filter": "mine=no"}, "filter"),
            ({"act": "run", "filter": "&"}, "filter"),
            ({"act": "run", "filter": "tag=a&tag=b"}, "filter"),
        ],
    )
    def test_bad_requests_for_jobs(self, job: Job, operator: Api, body: dict[str, object], field: str) -> None:
        answer = operator.post("/job-acts", body)
        assert (answer.status_code, list(answer.json()["fields"])) == (422, [field])
        assert not Run.objects.exists()
