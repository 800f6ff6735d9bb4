"""/jobs: stored values, refused values with the field's name, and that a refusal stores nothing."""

from collections.abc import Callable
from typing import Any

import pytest

from cronium_admin.jobs.models import Job
from cronium_admin.profiles.models import Profile
from cronium_admin.runs import state_machine
from cronium_admin.runs.launch import launch
from cronium_admin.runs.models import Run, Status
from tests.conftest import Api
from tests.users import get_admin

GOOD: dict[str, Any] = {"name": "Nightly report", "language": "python", "script": "print(1)"}
WHOLE: dict[str, Any] = {
    **GOOD,
    "slug": "nightly",
    "image": "my/python:3",
    "profile": "medium",
    "cpu": 0.75,
    "memory_mb": 300,
    "pids": 60,
    "log_limit_mb": 5,
    "on_log_limit": "drop",
    "streams": "merged",
    "env": {"REGION": "north", "EMPTY": ""},
    "timeout_seconds": 90,
    "network": "isolated",
    "read_only_root": False,
    "input": {"days": [1, 2.5, None, "ü", False]},
    "enabled": False,
    "tags": ["nightly", "billing"],
}
# Bad values, and the field that the error must name.
BAD: list[tuple[str, dict[str, Any], str]] = [
    ("a 2 MB script", {"script": "#" * 2_000_000}, "script"),
    ("a NUL in the script", {"script": "echo \x00"}, "script"),
    ("an empty script", {"script": "  \n"}, "script"),
    ("a script that is no text", {"script": 5}, "script"),
    ("a script of another language", {"script": "#!/usr/bin/node\nx"}, "script"),
    ("a script of another language, Windows", {"script": "\ufeff#!/usr/bin/env node\r\n"}, "script"),
    ("a script in UTF-16", {"script": "\ufeffe\x00c\x00h\x00o\x00"}, "script"),
    ("a script in UTF-16, read as Latin-1", {"script": "\xff\xfee\x00c\x00"}, "script"),
    ("a byte order mark alone", {"script": "\ufeff\n"}, "script"),
    ("an unknown language", {"language": "ruby"}, "language"),
    ("no language at all", {"language": None}, "language"),
    ("a negative timeout", {"timeout_seconds": -1}, "timeout_seconds"),
    ("a timeout of nothing", {"timeout_seconds": 0}, "timeout_seconds"),
    ("a timeout over a day", {"timeout_seconds": 86_401}, "timeout_seconds"),
    ("a timeout as text", {"timeout_seconds": "60"}, "timeout_seconds"),
    ("a timeout that is true", {"timeout_seconds": True}, "timeout_seconds"),
    ("a timeout past 64 bit", {"timeout_seconds": 10**30}, "timeout_seconds"),
    ("a null timeout", {"timeout_seconds": None}, "timeout_seconds"),
    ("5,000 variables", {"env": {f"N{i}": "x" for i in range(5000)}}, "env"),
    ("PATH", {"env": {"PATH": "/x"}}, "env"),
    ("LD_PRELOAD", {"env": {"LD_PRELOAD": "/x.so"}}, "env"),
    ("CRONIUM_X", {"env": {"CRONIUM_X": "1"}}, "env"),
    ("a variable name with =", {"env": {"A=B": "1"}}, "env"),
    ("a variable without a name", {"env": {"": "1"}}, "env"),
    ("a NUL in a variable", {"env": {"A": "\x00"}}, "env"),
    ("a number as variable", {"env": {"A": 1}}, "env.A"),
    ("variables as a list", {"env": ["A=1"]}, "env"),
    ("300 KB of variables", {"env": {"A": "x" * 300_000}}, "env"),
    ("an unknown profile", {"profile": "huge"}, "profile"),
    ("a NUL in the profile", {"profile": "sma\x00ll"}, "profile"),
    ("an image with spaces", {"image": "my image"}, "image"),
    ("an image in capitals", {"image": "My/Image"}, "image"),
    ("an image that is an option", {"image": "--privileged"}, "image"),
    ("a long image", {"image": "a" * 300}, "image"),
    ("too much CPU", {"cpu": 2.5}, "cpu"),
    ("no CPU", {"cpu": 0}, "cpu"),
    ("CPU as text", {"cpu": "1"}, "cpu"),
    ("CPU with many decimals", {"cpu": 0.123456}, "cpu"),
    ("an astronomic CPU", {"cpu": 10**400}, "cpu"),
    ("too much memory", {"memory_mb": 2049}, "memory_mb"),
    ("memory past 64 bit", {"memory_mb": 2**64}, "memory_mb"),
    ("half a megabyte", {"memory_mb": 64.5}, "memory_mb"),
    ("too many processes", {"pids": 1001}, "pids"),
    ("too few processes", {"pids": 1}, "pids"),
    ("too much log", {"log_limit_mb": 1001}, "log_limit_mb"),
    ("no log", {"log_limit_mb": 0}, "log_limit_mb"),
    ("log past 64 bit", {"log_limit_mb": 2**64}, "log_limit_mb"),
    ("another thing to do with a full log", {"on_log_limit": "keep"}, "on_log_limit"),
    ("an open network", {"network": "host"}, "network"),
    ("a read-only root that is text", {"read_only_root": "yes"}, "read_only_root"),
    ("a name of nothing", {"name": "  "}, "name"),
    ("a long name", {"name": "n" * 121}, "name"),
    ("a NUL in the name", {"name": "a\x00b"}, "name"),
    ("a line break in the name", {"name": "a\nb"}, "name"),
    ("a slug with spaces", {"slug": "a b"}, "slug"),
    ("a long slug", {"slug": "s" * 81}, "slug"),
    ("the slug of a page", {"slug": "new"}, "slug"),
    ("a tag with a space", {"tags": ["a b"]}, "tags"),
    ("tags as text", {"tags": "nightly"}, "tags"),
    ("21 tags", {"tags": [f"t{i}" for i in range(21)]}, "tags"),
    ("a number as tag", {"tags": [1]}, "tags.0"),
    ("2 MB of input", {"input": "x" * 2_000_000}, "input"),
    ("a NUL in the input", {"input": {"a": ["\x00"]}}, "input"),
    ("a NUL in a key of the input", {"input": {"\x00": 1}}, "input"),
    ("a field with a typo", {"timeout": 5}, "timeout"),
    ("a field that is the server's", {"runs": 7}, "runs"),
    ("an id", {"id": 1}, "id"),
]


@pytest.mark.parametrize(("what", "change", "field"), BAD, ids=[what for what, *_ in BAD])
def test_a_bad_job_is_refused_by_field_and_not_stored(
    editor: Api, what: str, change: dict[str, Any], field: str, nothing_stored: None
) -> None:
    answer = editor.post("/jobs", {**GOOD, **change})
    assert answer.status_code == 422, answer.content[:300]
    error = answer.json()
    assert list(error["fields"]) == [field]
    assert all(text.strip() for text in error["fields"][field])
    assert error["code"] == "invalid"
    assert field in error["detail"]
    assert len(answer.content) < 2000


@pytest.mark.parametrize(("what", "change", "field"), BAD, ids=[what for what, *_ in BAD])
def test_a_bad_change_is_refused_by_field_and_not_stored(
    editor: Api, job: Job, what: str, change: dict[str, Any], field: str, nothing_stored: None
) -> None:
    answer = editor.patch("/jobs/report", change)
    assert answer.status_code == 422, answer.content[:300]
    assert list(answer.json()["fields"]) == [field]


def test_all_wrong_fields_are_named_at_once(editor: Api, nothing_stored: None) -> None:
    answer = editor.post("/jobs", {**GOOD, "profile": "huge", "image": "a b", "pids": 0, "env": {"PATH": ""}})
    assert set(answer.json()["fields"]) == {"profile", "image", "pids", "env"}


@pytest.mark.parametrize("missing", ["name", "language", "script"])
def test_what_is_missing_is_named(editor: Api, missing: str, nothing_stored: None) -> None:
    answer = editor.post("/jobs", {name: value for name, value in GOOD.items() if name != missing})
    assert answer.status_code == 422
    assert answer.json()["fields"] == {missing: ["Required."]}


def test_a_whole_job_comes_back_as_it_went_in(editor: Api) -> None:
    made = editor.post("/jobs", WHOLE)
    assert made.status_code == 201
    assert made["Location"] == "/api/v1/jobs/nightly"
    assert {name: made.json()[name] for name in WHOLE} == WHOLE
    assert editor.get("/jobs/nightly").json() == made.json()
    assert made.json()["created_by"] == "editor"
    assert made.json()["limits"] == {"cpu": 0.75, "memory_mb": 300, "pids": 60, "log_limit_mb": 5}


def test_defaults_are_the_contracts(editor: Api) -> None:
    made = editor.post("/jobs", GOOD).json()
    assert made["slug"] == "nightly-report"
    assert (made["profile"], made["network"], made["read_only_root"], made["enabled"]) == (
        "small",
        "isolated",
        True,
        True,
    )
    assert made["limits"] == {"cpu": 0.5, "memory_mb": 512, "pids": 100, "log_limit_mb": 50}
    assert (made["log_limit_mb"], made["on_log_limit"]) == (None, "stop")
    assert made["input"] is None
    assert made["revision"] == 1


@pytest.mark.parametrize("value", [0, False, "", None, [], {}, 1.5, "\\u0000 in letters", "🌱"])
def test_any_input_is_kept_as_it_is(editor: Api, value: Any) -> None:
    editor.post("/jobs", {**GOOD, "input": value})
    kept = editor.get("/jobs/nightly-report").json()["input"]
    assert kept == value
    assert type(kept) is type(value)


def test_slugs_are_made_unique_and_never_a_pages_own(editor: Api) -> None:
    slugs = [
        editor.post("/jobs", {**GOOD, "name": name}).json()["slug"] for name in ("Backup", "backup!", "New", "日本")
    ]
    assert slugs == ["backup", "backup-2", "new-2", "job"]


def test_a_taken_slug_is_refused(editor: Api, job: Job, nothing_stored: None) -> None:
    answer = editor.post("/jobs", {**GOOD, "slug": "report"})
    assert answer.status_code == 422
    assert list(answer.json()["fields"]) == ["slug"]


def test_patch_changes_what_is_given_and_nothing_else(editor: Api, job: Job) -> None:
    before = editor.get("/jobs/report").json()
    after = editor.patch("/jobs/report", {"timeout_seconds": 5, "input": None, "cpu": 1}).json()
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {"timeout_seconds", "input", "cpu", "limits", "revision", "updated_at"}
    assert editor.patch("/jobs/report", {"cpu": None}).json()["limits"] == before["limits"]


def test_the_revision_counts_the_saves_that_change_something(editor: Api, job: Job) -> None:
    def revision(change: dict[str, Any]) -> int:
        return int(editor.patch("/jobs/report", change).json()["revision"])

    assert revision({"name": "Other", "tags": ["x"], "enabled": False}) == 2
    assert revision({"script": job.script}) == 2
    assert revision({"script": "echo 2"}) == 3
    assert revision({"env": {}, "pids": 20}) == 4
    assert revision({}) == 4


def test_a_change_of_a_job_does_not_touch_its_run_counter(editor: Api, job: Job) -> None:
    from cronium_admin.jobs.service import save_job

    stale = Job.objects.get(pk=job.pk)
    launch(job, get_admin())
    save_job(stale, {"name": "Renamed"}, get_admin())
    assert launch(Job.objects.get(pk=job.pk), get_admin()).number == 2


def test_values_of_variables_are_for_those_who_edit(editor: Api, viewer: Api, job: Job) -> None:
    assert editor.get("/jobs/report").json()["env"] == {"REGION": "north"}
    assert viewer.get("/jobs/report").json()["env"] == {"REGION": None}


class TestDelete:
    def test_keeps_the_runs_that_have_ended(self, editor: Api, job: Job, run: Run) -> None:
        assert state_machine.cancel_queued(run.pk, "test")
        assert editor.delete("/jobs/report").status_code == 204
        assert editor.get("/jobs/report").status_code == 404
        kept = editor.get(f"/runs/{run.pk}").json()
        assert (kept["job"], kept["status"], kept["script"]) == (None, "cancelled", job.script)

    def test_is_refused_while_a_run_lives(self, editor: Api, run: Run, nothing_stored: None) -> None:
        answer = editor.delete("/jobs/report")
        assert (answer.status_code, answer.json()["code"]) == (409, "job_has_live_runs")
        assert "report" in answer.json()["detail"]


class TestList:
    @pytest.fixture(autouse=True)
    def _jobs(self, make_job: Callable[..., Job]) -> None:
        for name in ("delta", "alpha", "echo", "bravo", "charlie"):
            make_job(name=name, slug=f"{name}-job")

    def test_goes_by_name_in_pages_that_inserts_do_not_shift(self, viewer: Api, make_job: Callable[..., Job]) -> None:
        first = viewer.get("/jobs?limit=2").json()
        make_job(name="aaa", slug="aaa")
        second = viewer.get(f"/jobs?limit=2&after={first['next']}").json()
        third = viewer.get(f"/jobs?limit=2&after={second['next']}").json()
        names = [item["name"] for page in (first, second, third) for item in page["items"]]
        assert names == ["alpha", "bravo", "charlie", "delta", "echo"]
        assert third["next"] is None

    def test_finds_by_name_or_slug(self, viewer: Api) -> None:
        assert [item["name"] for item in viewer.get("/jobs?q=LPH").json()["items"]] == ["alpha"]
        assert viewer.get("/jobs?q=nothing").json()["items"] == []

    def test_carries_nothing_long(self, viewer: Api) -> None:
        assert not {"script", "env", "input"} & set(viewer.get("/jobs").json()["items"][0])

    @pytest.mark.parametrize(
        ("query", "field"),
        [
            *[("limit=0", "limit"), ("limit=201", "limit"), ("limit=x", "limit"), ("after=x", "after")],
            *[("q=%00", "q"), ("after=WyJhIiwgMTAwMDAwMDAwMDAwMDAwMDAwMDAwMDBd", "after")],
        ],
    )
    def test_refuses_a_bad_query_by_name(self, viewer: Api, query: str, field: str) -> None:
        answer = viewer.get(f"/jobs?{query}")
        assert answer.status_code == 422
        assert list(answer.json()["fields"]) == [field]


def test_a_profiles_change_reaches_its_jobs(admin: Api, job: Job) -> None:
    Profile.objects.filter(name="small").update(pids=77)
    assert admin.get("/jobs/report").json()["limits"]["pids"] == 77


def test_a_run_keeps_what_its_job_was(editor: Api, job: Job, run: Run) -> None:
    editor.patch("/jobs/report", {"script": "echo other", "timeout_seconds": 7})
    kept = editor.get(f"/runs/{run.pk}").json()
    assert (kept["script"], kept["timeout_seconds"], kept["job_revision"]) == ("echo hello", 3600, 1)
    assert kept["status"] == Status.QUEUED


def test_a_job_names_its_queue_and_its_runs_wait_there(editor: Api, job: Job) -> None:
    assert editor.get("/jobs/report").json()["queue"] == "default"
    assert editor.call("PATCH", "/jobs/report", {"queue": "gpu"}).json()["queue"] == "gpu"
    assert editor.call("POST", "/jobs/report/runs").json()["queue"] == "gpu"
    refused = editor.call("PATCH", "/jobs/report", {"queue": "GPU"})
    assert refused.status_code == 422
    assert "lower-case letters" in refused.json()["fields"]["queue"][0]
