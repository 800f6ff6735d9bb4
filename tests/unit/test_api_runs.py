"""/runs and /jobs/{slug}/runs: launch, list, read, cancel, rerun."""

from collections.abc import Callable
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest
from django.test import Client

from cronium_admin.accounts.models import User
from cronium_admin.images.models import ImageOverride
from cronium_admin.jobs.models import Job
from cronium_admin.runs import state_machine
from cronium_admin.runs.launch import launch
from cronium_admin.runs.models import Run, RunEvent, Status
from cronium_admin.runs.state_machine import Ending
from tests.conftest import Api
from tests.unit.odd_requests import as_strict_as_postgresql
from tests.users import get_admin

BAD: list[tuple[str, dict[str, Any], str]] = [
    ("an unknown profile", {"profile": "huge"}, "profile"),
    ("an image with spaces", {"image": "a b"}, "image"),
    ("PATH", {"env": {"PATH": "x"}}, "env"),
    ("UID, which a shell holds read-only", {"env": {"UID": "x"}}, "env"),
    ("PPID, which a shell holds read-only", {"env": {"PPID": "x"}}, "env"),
    ("a variable longer than the kernel takes", {"env": {"A": "x" * 131_070}}, "env"),
    ("one longer in bytes than in characters", {"env": {"A": "ü" * 65_536}}, "env"),
    ("LD_PRELOAD", {"env": {"LD_PRELOAD": "x"}}, "env"),
    ("5,000 variables", {"env": {f"N{i}": "" for i in range(5000)}}, "env"),
    ("a variable that is a number", {"env": {"A": 1}}, "env.A"),
    ("a negative timeout", {"timeout_seconds": -1}, "timeout_seconds"),
    ("a timeout past 64 bit", {"timeout_seconds": 2**70}, "timeout_seconds"),
    ("too much CPU", {"cpu": 4}, "cpu"),
    ("CPU with many decimals", {"cpu": 0.333}, "cpu"),
    ("CPU that is true", {"cpu": True}, "cpu"),
    ("too much memory", {"memory_mb": 4096}, "memory_mb"),
    ("too few processes", {"pids": 0}, "pids"),
    ("too much log", {"log_limit_mb": 1001}, "log_limit_mb"),
    ("2 MB of input", {"input": "x" * 2_000_000}, "input"),
    ("a script, which is the job's", {"script": "true"}, "script"),
]


class TestLaunch:
    def test_without_a_body_takes_all_from_the_job(self, operator: Api, job: Job) -> None:
        answer = operator.post("/jobs/report/runs")
        assert answer.status_code == 202
        run = answer.json()
        assert answer["Location"] == f"/api/v1/runs/{run['id']}"
        assert run["job"] == {"slug": "report", "name": "Report"}
        assert (run["status"], run["number"], run["job_revision"]) == ("queued", 1, 1)
        limits = {"cpu": 0.5, "memory_mb": 512, "pids": 100, "log_limit_mb": 50}
        assert (run["profile"], run["limits"], run["on_log_limit"]) == ("small", limits, "stop")
        assert run["image"] == {
            "reference": "cronium/runner:bash-alpine",
            "rule": "default",
            "why": "the language's default",
            "digest": "",
            "resolved": "",
        }
        assert (run["env"], run["input"], run["output"]) == (["REGION"], {"day": 1}, None)
        assert (run["created_by"], run["parent"], run["trigger"]) == ("operator", None, "api")

    @pytest.mark.parametrize("raw", [b"", b"{}", b"null"])
    def test_empty_bodies_are_all_the_same(self, operator: Api, job: Job, raw: bytes) -> None:
        assert operator.call("POST", "/jobs/report/runs", raw=raw).json()["input"] == {"day": 1}

    def test_overrides_win_for_this_run_only(self, editor: Api, job: Job) -> None:
        body = {"input": None, "env": {"REGION": "south", "NEW": "1"}, "image": "my/bash:5", "profile": "large"}
        body |= {"timeout_seconds": 9, "cpu": 0.25, "memory_mb": 100, "pids": 33, "log_limit_mb": 3}
        run = editor.post("/jobs/report/runs", body).json()
        assert run["input"] is None
        assert run["env"] == ["NEW", "REGION"]
        assert run["overridden"] == ["env.NEW", "env.REGION", "image"]
        assert (run["image"]["reference"], run["image"]["rule"]) == ("my/bash:5", "run")
        assert (run["profile"], run["timeout_seconds"]) == ("large", 9)
        assert run["limits"] == {"cpu": 0.25, "memory_mb": 100, "pids": 33, "log_limit_mb": 3}
        assert Run.objects.get().env == {"REGION": "south", "NEW": "1"}
        assert editor.post("/jobs/report/runs").json()["timeout_seconds"] == 3600

    @pytest.mark.parametrize(("what", "body", "field"), BAD, ids=[what for what, *_ in BAD])
    def test_a_bad_override_is_refused_by_field(
        self, editor: Api, job: Job, what: str, body: dict[str, Any], field: str, nothing_stored: None
    ) -> None:
        answer = editor.post("/jobs/report/runs", body)
        assert answer.status_code == 422, answer.content[:300]
        assert list(answer.json()["fields"]) == [field]

    def test_a_variable_of_the_greatest_size_is_taken(self, editor: Api, job: Job) -> None:
        assert editor.post("/jobs/report/runs", {"env": {"A": "x" * (128 * 1024 - 3)}}).status_code == 202
        assert editor.post("/jobs/report/runs", {"env": {"A": "x" * (128 * 1024 - 2)}}).status_code == 422
        assert editor.patch("/jobs/report", {"env": {"A": "x" * (128 * 1024 - 2)}}).status_code == 422
        assert editor.patch("/jobs/report", {"env": {"GROUPS": ""}}).status_code == 422

    def test_of_an_unknown_job_is_404(self, operator: Api) -> None:
        assert operator.post("/jobs/none/runs").status_code == 404

    def test_of_a_disabled_job_is_refused(self, operator: Api, make_job: Callable[..., Job]) -> None:
        make_job(slug="off", enabled=False)
        answer = operator.post("/jobs/off/runs")
        assert (answer.status_code, answer.json()["code"]) == (409, "job_disabled")

    def test_the_same_key_and_body_give_the_same_run(self, operator: Api, job: Job) -> None:
        body = {"input": {"a": 1, "b": [2]}, "cpu": 0.5}
        first = operator.post("/jobs/report/runs", body, Idempotency_Key="a")
        same = {"cpu": 0.50, "env": {}, "image": None, "input": {"b": [2], "a": 1}}
        again = operator.post("/jobs/report/runs", same, Idempotency_Key="a")
        other = operator.post("/jobs/report/runs", body, Idempotency_Key="b")
        assert first.status_code == again.status_code == 202
        assert first.json()["id"] == again.json()["id"] != other.json()["id"]
        assert Run.objects.count() == 2

    @pytest.mark.parametrize(
        "body", [{"input": 2}, {"input": None}, {"input": True}, {"input": 1.0}, {"profile": "large"}, {"cpu": 0.5}]
    )
    def test_the_same_key_with_another_body_is_refused(self, operator: Api, job: Job, body: dict[str, Any]) -> None:
        first = operator.post("/jobs/report/runs", {"input": 1}, Idempotency_Key="a").json()
        answer = operator.post("/jobs/report/runs", body, Idempotency_Key="a")
        assert (answer.status_code, answer.json()["code"]) == (409, "idempotency_key_reused")
        assert first["id"] in answer.json()["detail"]
        assert Run.objects.count() == 1

    def test_an_empty_body_is_another_one_too(self, operator: Api, job: Job) -> None:
        operator.post("/jobs/report/runs", Idempotency_Key="a")
        assert operator.post("/jobs/report/runs", {}, Idempotency_Key="a").status_code == 202
        assert operator.post("/jobs/report/runs", {"input": None}, Idempotency_Key="a").status_code == 409

    def test_a_key_belongs_to_who_sent_it(self, operator: Api, editor: Api, job: Job) -> None:
        first = operator.post("/jobs/report/runs", {"input": 1}, Idempotency_Key="a").json()
        other = editor.post("/jobs/report/runs", {"input": 2}, Idempotency_Key="a")
        assert other.status_code == 202
        assert other.json()["id"] != first["id"]

    def test_a_key_belongs_to_its_job(self, operator: Api, job: Job, make_job: Callable[..., Job]) -> None:
        make_job(slug="second")
        first = operator.post("/jobs/report/runs", Idempotency_Key="a").json()
        assert operator.post("/jobs/second/runs", Idempotency_Key="a").json()["id"] != first["id"]

    @pytest.mark.parametrize("key", ["", "x" * 201, "a b", "é", "\x7f"])
    def test_a_bad_key_is_named(self, operator: Api, job: Job, key: str, nothing_stored: None) -> None:
        answer = operator.post("/jobs/report/runs", Idempotency_Key=key)
        assert answer.status_code == 422
        assert list(answer.json()["fields"]) == ["Idempotency-Key"]


@pytest.mark.parametrize("profile", ["nowhere", "\0", "a\0b", "\ud800", "\u202e"])
def test_a_profile_that_is_not_there_is_named(operator: Api, job: Job, profile: str, nothing_stored: None) -> None:
    with as_strict_as_postgresql():
        answer = operator.post("/jobs/report/runs", {"profile": profile})
    assert (answer.status_code, list(answer.json()["fields"])) == (422, ["profile"])


def _numbers(api: Api, query: str) -> list[int]:
    return [item["number"] for item in api.get(f"/runs?{query}").json()["items"]]


def _shown(client: Client, url: str, runs: list[Run]) -> list[Run]:
    page = client.get(url).content.decode()
    return [run for run in runs if f"run-{run.pk}" in page]


class TestList:
    @pytest.fixture
    def runs(self, job: Job) -> list[Run]:
        """Oldest first."""
        return [launch(job, get_admin()) for _ in range(5)]

    def test_pages_are_newest_first_and_inserts_do_not_shift_them(self, viewer: Api, job: Job, runs: list[Run]) -> None:
        seen, after = [], ""
        for _ in range(3):
            page = viewer.get(f"/runs?limit=2{after}").json()
            seen += [item["number"] for item in page["items"]]
            after = f"&after={page['next']}"
            launch(job, get_admin())
        assert seen == [5, 4, 3, 2, 1]
        assert page["next"] is None

    def test_runs_of_one_moment_are_neither_lost_nor_doubled(self, viewer: Api, runs: list[Run]) -> None:
        Run.objects.update(created_at=runs[0].created_at)
        seen, after = [], ""
        while after is not None:
            page = viewer.get(f"/runs?limit=2&after={after}").json()
            seen += [item["id"] for item in page["items"]]
            after = page["next"]
        assert sorted(seen) == sorted(str(run.pk) for run in runs)

    def test_filters_by_job_and_status(self, viewer: Api, runs: list[Run], make_job: Callable[..., Job]) -> None:
        other = launch(make_job(slug="other"), get_admin())
        state_machine.cancel_queued(runs[0].pk, "test")
        assert [item["id"] for item in viewer.get("/runs?job=other").json()["items"]] == [str(other.pk)]
        cancelled = viewer.get("/runs?job=report&status=cancelled").json()["items"]
        assert [item["id"] for item in cancelled] == [str(runs[0].pk)]
        assert len(viewer.get("/runs?status=cancelled&status=queued").json()["items"]) == 6

    def test_live_runs_are_those_that_wait_or_run(self, viewer: Api, runs: list[Run]) -> None:
        state_machine.cancel_queued(runs[0].pk, "test")
        Run.objects.filter(pk=runs[1].pk).update(status=Status.RUNNING)
        Run.objects.filter(pk=runs[2].pk).update(status=Status.FAILED)
        assert _numbers(viewer, "status=live") == [5, 4, 2]
        assert _numbers(viewer, "status=live&status=failed") == [5, 4, 3, 2]

    def test_filters_by_a_whole_tag(self, viewer: Api, runs: list[Run], make_job: Callable[..., Job]) -> None:
        for slug, tags in (("one", ["night", "a_b"]), ("two", ["nightly", "axb"]), ("three", [])):
            launch(make_job(slug=slug, tags=tags), get_admin())
        found = {tag: viewer.get(f"/runs?tag={tag}").json()["items"] for tag in ("night", "a_b", "nightly", "nobody")}
        slugs = {tag: [item["job"]["slug"] for item in items] for tag, items in found.items()}
        assert slugs == {"night": ["one"], "a_b": ["one"], "nightly": ["two"], "nobody": []}

    def test_filters_by_when_they_were_made(self, viewer: Api, runs: list[Run]) -> None:
        since = quote(runs[3].created_at.isoformat())
        assert _numbers(viewer, f"since={since}") == [5, 4]
        assert _numbers(viewer, f"since={since}&limit=1") == [5]

    def test_the_page_takes_the_same_filters(
        self, runs: list[Run], make_job: Callable[..., Job], people: dict[str, User]
    ) -> None:
        client = Client()
        client.force_login(people["viewer"])
        tagged = launch(make_job(slug="one", tags=["night"]), get_admin())
        since = quote(runs[4].created_at.isoformat().replace("+00:00", "Z"))
        for url in ("/runs/", "/runs/rows/"):
            assert _shown(client, f"{url}?tag=night", [*runs, tagged]) == [tagged]
            assert _shown(client, f"{url}?since={since}", [*runs, tagged]) == [runs[4], tagged]
            assert len(_shown(client, f"{url}?since=yesterday&status=live", [*runs, tagged])) == 6
        page = client.get(f"/runs/?tag=night&since={since}").content.decode()
        assert 'name="tag" value="night"' in page
        assert f"rows/?tag=night&amp;since={since}" in page

    def test_carries_nothing_long(self, viewer: Api, runs: list[Run]) -> None:
        item = viewer.get("/runs").json()["items"][0]
        assert not {"script", "env", "input", "output", "events"} & set(item)

    @pytest.mark.parametrize(
        ("query", "field"),
        [
            *[("status=foo", "status"), ("job=none", "job"), ("job=%00", "job"), ("job=" + "x" * 99, "job")],
            *[("limit=0", "limit"), ("limit=1000", "limit"), ("limit=ten", "limit"), ("stauts=failed", "stauts")],
            *[("tag=No!", "tag"), ("tag=%00", "tag"), ("since=yesterday", "since"), ("since=2026-01-01", "since")],
            *[(f"after={word}", "after") for word in ("x", "%ff", "W10", "bnVsbA", "WyJhIiwiYiJd", "e" * 900)],
        ],
    )
    def test_refuses_a_bad_query_by_name(self, viewer: Api, query: str, field: str) -> None:
        answer = viewer.get(f"/runs?{query}")
        assert answer.status_code == 422
        assert list(answer.json()["fields"]) == [field]


def test_one_run_comes_with_script_and_events(viewer: Api, run: Run) -> None:
    shown = viewer.get(f"/runs/{run.pk}").json()
    assert shown["script"] == "echo hello"
    assert [event["kind"] for event in shown["events"]] == ["queued"]
    assert "north" not in str(shown)


class TestCancel:
    def test_a_waiting_run_ends_at_once(self, operator: Api, run: Run) -> None:
        answer = operator.post(f"/runs/{run.pk}/cancel")
        assert answer.status_code == 202
        assert (answer.json()["status"], answer.json()["reason"]) == ("cancelled", "cancelled")
        assert "operator" in answer.json()["message"]
        assert answer.json()["finished_at"] is not None

    def test_a_running_one_is_asked_and_keeps_its_status(self, operator: Api, run: Run) -> None:
        Run.objects.update(status=Status.RUNNING, host="one", lease_epoch=1)
        for _ in range(2):
            answer = operator.post(f"/runs/{run.pk}/cancel").json()
            assert answer["status"] == "running"
            assert answer["cancel_requested_at"] is not None
        assert RunEvent.objects.filter(kind="cancel_requested").count() == 1

    def test_one_that_has_ended_is_refused(self, operator: Api, run: Run) -> None:
        operator.post(f"/runs/{run.pk}/cancel")
        answer = operator.post(f"/runs/{run.pk}/cancel")
        assert (answer.status_code, answer.json()["code"]) == (409, "already_ended")

    def test_one_that_is_not_there_is_404(self, operator: Api) -> None:
        assert operator.post(f"/runs/{uuid4()}/cancel").status_code == 404


class TestRerun:
    def test_repeats_the_snapshot_and_names_its_parent(self, operator: Api, editor: Api, run: Run) -> None:
        ImageOverride.objects.create(language="bash", reference="other/bash:1")
        editor.patch("/jobs/report", {"script": "echo other"})
        answer = operator.post(f"/runs/{run.pk}/rerun")
        assert answer.status_code == 202
        again = operator.get(answer["Location"].removeprefix("/api/v1")).json()
        assert (again["parent"], again["script"], again["trigger"]) == (str(run.pk), "echo hello", "rerun")
        assert again["image"]["reference"] == run.image
        assert (again["number"], again["created_by"]) == (2, "operator")


def test_an_ended_run_says_how(viewer: Api, run: Run) -> None:
    claimed = state_machine.claim_next("one", "owner")
    assert claimed is not None
    facts = {"log_lines": 3, "log_bytes": 12, "log_digest": "d" * 64, "peak_memory_bytes": 2**40}
    state_machine.finish(run.pk, 1, Ending(Status.FAILED, "exit_code", "It ended with 7.", 7, facts))
    shown = viewer.get(f"/runs/{run.pk}").json()
    assert (shown["status"], shown["reason"], shown["exit_code"]) == ("failed", "exit_code", 7)
    assert {name: shown[name] for name in facts} == facts
    assert shown["host"] == "one"
