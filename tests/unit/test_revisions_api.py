"""The routes of revisions: the list, one with its differences, and the restoration of an earlier one."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from cronium_admin.accounts.models import User
from cronium_admin.jobs import revision_changes
from cronium_admin.jobs.models import Job, JobRevision, Network
from cronium_admin.jobs.revision_changes import diff_scripts
from cronium_admin.jobs.revisions import canonicalize_job
from cronium_admin.jobs.service import create_job, save_job
from cronium_admin.profiles.models import Profile
from cronium_admin.profiles.service import save_profile
from cronium_admin.runs.launch import launch
from cronium_admin.secrets.service import save_secret
from tests.conftest import Api
from tests.users import get_admin

pytestmark = pytest.mark.django_db
VALUES = {
    "name": "Report", "slug": "report", "language": "bash", "script": "echo 1\n", "env": {"B": "2", "A": "1"},
    "cpu": "0.5", "input": {"z": 1.0, "a": 1}, "tags": ["x"], "log_keep_days": 3,
}  # fmt: skip


@pytest.fixture
def saved(people: dict[str, User]) -> Job:
    """At revision 3."""
    job = create_job(VALUES, people["editor"])
    job = save_job(job, {"script": "echo 2\n", "env": {"A": "1", "B": "3", "C": "4"}}, people["admin"])
    return save_job(job, {"name": "Renamed", "enabled": False, "tags": [], "input": {"z": 1}}, people["admin"])


class TestList:
    def test_newest_first_in_pages(self, editor: Api, saved: Job) -> None:
        page = editor.get("/jobs/report/revisions?limit=2").json()
        assert [item["number"] for item in page["items"]] == [3, 2]
        assert page["items"][0]["changed"] == ["enabled", "input", "name", "tags"]
        assert (page["items"][1]["by"], page["items"][1]["changed"]) == ("admin", ["env", "script"])
        rest = editor.get(f"/jobs/report/revisions?limit=2&after={page['next']}").json()
        assert (rest["next"], [item["number"] for item in rest["items"]]) == (None, [1])
        (first,) = rest["items"]
        del first["at"]
        digest = JobRevision.objects.get(number=1).digest
        assert first == {
            "number": 1, "by": "editor", "digest": digest, "changed": [], "restored_from": None, "is_partial": False,
        }  # fmt: skip

    def test_those_of_other_jobs_are_not_in_it(self, editor: Api, saved: Job, people: dict[str, User]) -> None:
        create_job({**VALUES, "slug": "other"}, people["editor"])
        assert len(editor.get("/jobs/other/revisions").json()["items"]) == 1

    def test_a_digest_would_let_a_viewer_guess_values(self, viewer: Api, saved: Job) -> None:
        assert {item["digest"] for item in viewer.get("/jobs/report/revisions").json()["items"]} == {None}
        assert viewer.get("/jobs/report/revisions/2").json()["digest"] is None

    @pytest.mark.parametrize("after", ["x", "bnVsbA", "WzFd!", "WyJhIl0", "Wzk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5XQ"])
    def test_a_bad_cursor_is_refused(self, viewer: Api, saved: Job, after: str) -> None:
        answer = viewer.get(f"/jobs/report/revisions?after={after}")
        assert (answer.status_code, list(answer.json().get("fields", {}))) in ((422, ["after"]), (200, []))
        assert answer.status_code == 422 or after == "WzFd!"


class TestOne:
    def test_all_settings_and_what_changed(self, editor: Api, saved: Job) -> None:
        answer = editor.get("/jobs/report/revisions/2")
        body = answer.json()
        assert body["settings"]["script"] == "echo 2\n"
        assert (body["settings"]["env"], body["settings"]["cpu"]) == ({"A": "1", "B": "3", "C": "4"}, 0.5)
        assert '"input":{"z":1.0,"a":1}' in answer.content.decode().replace(": ", ":").replace(", ", ",")
        assert body["against"] == 1
        assert body["changes"] == [{"field": "env", "before": {"B": "2"}, "after": {"B": "3", "C": "4"}}]
        assert body["script_diff"] == "--- revision 1\n+++ revision 2\n@@ -1 +1 @@\n-echo 1\n+echo 2\n"

    def test_against_another(self, editor: Api, saved: Job) -> None:
        body = editor.get("/jobs/report/revisions/1?against=3").json()
        assert body["against"] == 3
        assert [change["field"] for change in body["changes"]] == ["enabled", "env", "input", "name", "tags"]
        assert {"field": "name", "before": "Renamed", "after": "Report"} in body["changes"]
        assert "+echo 1" in body["script_diff"]
        same = editor.get("/jobs/report/revisions/1?against=1").json()
        assert (same["changes"], same["script_diff"]) == ([], "")

    def test_the_first_is_compared_with_none(self, editor: Api, saved: Job) -> None:
        body = editor.get("/jobs/report/revisions/1").json()
        assert (body["against"], body["changes"], body["script_diff"]) == (None, [], "")

    def test_values_of_variables_are_hidden_from_those_who_may_not_edit(self, operator: Api, saved: Job) -> None:
        body = operator.get("/jobs/report/revisions/2").json()
        assert body["settings"]["env"] == {"A": None, "B": None, "C": None}
        assert body["changes"] == [{"field": "env", "before": {"B": None}, "after": {"B": None, "C": None}}]

    def test_numbers_of_another_kind_are_a_change(self, editor: Api, saved: Job, people: dict[str, User]) -> None:
        save_job(saved, {"input": {"z": True}}, people["admin"])
        text = editor.get("/jobs/report/revisions/4").content.decode().replace(" ", "")
        assert '{"field":"input","before":{"z":1},"after":{"z":true}}' in text

    @pytest.mark.parametrize("number", [0, 4, 2**31, 2**63, 2**64, 10**30])
    @pytest.mark.parametrize("path", ["/{}", "/1?against={}", "/{}/restore"])
    def test_an_unknown_number_is_404_in_words(self, editor: Api, saved: Job, path: str, number: int) -> None:
        method = "POST" if "restore" in path else "GET"
        answer = editor.call(method, "/jobs/report/revisions" + path.format(number))
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
        assert "has no revision" in answer.json()["detail"]

    @pytest.mark.parametrize("number", ["x", "-1", "1.5", "9" * 5000])
    def test_no_number_is_answered_in_the_same_form(self, editor: Api, saved: Job, number: str) -> None:
        assert editor.get(f"/jobs/report/revisions/{number}").json()["code"] == "not_found"
        assert editor.get(f"/jobs/report/revisions/1?against={number}").status_code in (404, 422)

    def test_a_job_that_is_not_there(self, editor: Api, db: None) -> None:
        for path in ("", "/1"):
            assert "There is no job" in editor.get(f"/jobs/nothing/revisions{path}").json()["detail"]
        assert editor.post("/jobs/nothing/revisions/1/restore").status_code == 404

    def test_of_a_partial_one_only_the_known_is_compared(self, editor: Api, saved: Job) -> None:
        make_partial(1, '{"env":{"A":"9"},"name":"Before"}')
        body = editor.get("/jobs/report/revisions/2").json()
        assert [change["field"] for change in body["changes"]] == ["env", "name"]
        body = editor.get("/jobs/report/revisions/1").json()
        assert (body["is_partial"], set(body["settings"])) == (True, {"env", "name", "script"})


def make_partial(number: int, settings: str) -> None:
    JobRevision.objects.filter(number=number).update(settings=settings, is_partial=True)


class TestRestore:
    def restore(self, by: Api, number: int, body: Any = None) -> Any:
        return by.post(f"/jobs/report/revisions/{number}/restore", body)

    def test_it_is_a_new_revision_with_the_old_settings(self, editor: Api, saved: Job) -> None:
        answer = self.restore(editor, 1)
        body = answer.json()
        assert (answer.status_code, body["revision"], body["script"]) == (200, 4, "echo 1\n")
        assert (body["name"], body["tags"], body["env"], body["cpu"]) == ("Report", ["x"], VALUES["env"], 0.5)
        assert json.dumps(body["input"]) == '{"z": 1.0, "a": 1}'
        row, changed = JobRevision.objects.get(number=4), ["env", "input", "name", "script", "tags"]
        assert (row.restored_from, row.by_name, row.changed) == (1, "editor", changed)
        assert row.digest == canonicalize_job(Job.objects.get()).digest
        editor.patch("/jobs/report", {"enabled": True})
        assert launch(Job.objects.get(), get_admin()).revision == JobRevision.objects.get(number=5)

    def test_slug_and_enabled_stay(self, editor: Api, saved: Job, people: dict[str, User]) -> None:
        save_job(saved, {"slug": "moved"}, people["admin"])
        answer = editor.post("/jobs/moved/revisions/1/restore").json()
        assert (answer["slug"], answer["enabled"], answer["name"]) == ("moved", False, "Report")

    def test_the_current_one_changes_nothing(self, editor: Api, saved: Job) -> None:
        for number in (3, 3):
            assert self.restore(editor, number).json()["revision"] == 3
        assert JobRevision.objects.count() == 3

    def test_a_newer_revision_is_a_conflict(self, editor: Api, saved: Job) -> None:
        answer = self.restore(editor, 1, {"revision": 2})
        assert (answer.status_code, answer.json()["code"]) == (409, "changed_meanwhile")
        assert Job.objects.get().revision == 3
        assert self.restore(editor, 1, {"revision": 3}).status_code == 200

    @pytest.mark.parametrize("body", [{"revision": "3"}, {"revision": 3.5}, {"other": 1}, [], 3])
    def test_another_body_is_refused(self, editor: Api, saved: Job, body: Any) -> None:
        answer = self.restore(editor, 1, body)
        assert (answer.status_code, JobRevision.objects.count()) == (422, 3), answer.content

    def test_a_deleted_profile_or_secret_is_named(self, editor: Api, saved: Job, people: dict[str, User]) -> None:
        profile = Profile.objects.create(name="tiny", cpu=1, memory_mb=64, pids=20)
        save_secret("KEY", "a value", None, people["admin"])
        job = save_job(saved, {"profile": "tiny", "secrets": ["KEY"]}, people["admin"])
        save_job(job, {"profile": "small", "secrets": []}, people["admin"])
        profile.delete()
        people_secret = editor.call("DELETE", "/secrets/KEY")
        assert people_secret.status_code == 403
        Api(people["admin"]).delete("/secrets/KEY")
        answer = self.restore(editor, 4)
        assert (answer.status_code, sorted(answer.json()["fields"])) == (422, ["profile", "secrets"])
        assert "tiny" in answer.json()["detail"]
        assert JobRevision.objects.count() == 5

    def test_a_profile_that_was_renamed_stays(self, editor: Api, saved: Job) -> None:
        profile = Profile.objects.create(name="tiny", cpu=1, memory_mb=64, pids=20)
        job = save_job(saved, {"profile": "tiny"}, get_admin())
        save_job(job, {"script": "echo 3\n"}, get_admin())
        save_profile(profile, {"name": "little"}, get_admin())
        Profile.objects.create(name="tiny", cpu=1, memory_mb=64, pids=20)
        answer = self.restore(editor, 4)
        assert (answer.status_code, answer.json()["profile"], answer.json()["script"]) == (200, "little", "echo 2\n")

    def test_an_open_network_takes_its_permission(self, editor: Api, admin: Api, saved: Job) -> None:
        admin.patch("/jobs/report", {"network": Network.OPEN})
        admin.patch("/jobs/report", {"network": Network.ISOLATED})
        assert self.restore(editor, 4).status_code == 403
        assert self.restore(admin, 4).json()["network"] == "open"
        assert self.restore(editor, 3).status_code == 200  # out of the open network

    def test_of_a_partial_one_the_known_is_restored(self, editor: Api, saved: Job) -> None:
        make_partial(1, '{"name":"Before","network":"none","slug":"gone","enabled":true}')
        body = self.restore(editor, 1).json()
        assert (body["name"], body["network"], body["script"]) == ("Before", "none", "echo 1\n")
        assert (body["slug"], body["enabled"], body["env"]) == ("report", False, {"A": "1", "B": "3", "C": "4"})

    def test_runs_that_exist_keep_theirs(self, editor: Api, saved: Job) -> None:
        editor.patch("/jobs/report", {"enabled": True})
        run = editor.post("/jobs/report/runs").json()
        self.restore(editor, 1)
        after = editor.get(f"/runs/{run['id']}").json()
        assert (after["script"], after["job_revision"], after["input"]) == ("echo 2\n", 4, {"z": 1})


LINES = [str(number) for number in range(12_000)]
SCRIPTS = [
    ("a\n", "b\n"),
    ("a\n", "a"),
    ("a", "a\n"),
    ("", "a\n"),
    ("a\n", ""),
    ("a\r\nb\x0b\u2028c\n", "a\nb\x0b\u2028c\n"),
    ("-- x\n++ y\n@@ -1,2 +1,2 @@\n", "++ y\n@@ -9,9 +9,9 @@\n-- x\n"),
    ("\n".join(LINES[:50]), "\n".join([*LINES[:20], "new", *LINES[22:50]])),
    ("\n".join(LINES), "\n".join([*LINES[:11_000], "new", *LINES[11_010:]])),
    ("\n".join(LINES), "\n".join(["first", *LINES[:5], *LINES[6:-1], "last"])),  # more than are compared
    ("\n".join(LINES), "\n".join([*LINES[:4], *LINES[11_990:]])),
    ("x\n" * 12_000, "x\n" * 5),
]


def apply_diff(text: str, diff: str) -> str:
    """As `patch` does it; every context line and every count must fit."""
    old, new, at, body = text.encode().split(b"\n"), list[bytes](), 0, diff.encode().split(b"\n")[2:-1]
    if old[-1] == b"":
        old.pop()
        old = [line + b"\n" for line in old]
    else:
        old = [line + b"\n" for line in old[:-1]] + [old[-1]]
    while body:
        head = re.fullmatch(rb"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@", body.pop(0))
        assert head is not None
        start, count, first, added = (1 if number is None else int(number) for number in head.groups())
        start -= bool(count)
        new += old[at:start]
        at = start
        assert len(new) == first - bool(added)
        while count or added:
            mark, line = body[0][:1], body.pop(0)[1:] + b"\n"
            if body and body[0] == b"\\ No newline at end of file":
                body.pop(0)
                line = line[:-1]
            if mark in b" -":
                assert old[at] == line
                at, count = at + 1, count - 1
            if mark in b" +":
                new.append(line)
                added -= 1
    return b"".join(new + old[at:]).decode()


@pytest.mark.parametrize(("before", "after"), SCRIPTS)
def test_the_diff_of_scripts_can_be_applied(before: str, after: str) -> None:
    assert diff_scripts(before, before, "a", "b") == ""
    diff = diff_scripts(before, after, "a", "b")
    assert diff.startswith("--- a\n+++ b\n@@ ")
    assert apply_diff(before, diff) == after


def test_two_long_scripts_are_compared_in_bounded_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Comparing these line by line takes minutes."""
    compared = list[int]()

    def compare(old: list[str], new: list[str], **_: Any) -> list[str]:
        compared.append(max(len(old), len(new)))
        return []

    monkeypatch.setattr(revision_changes, "unified_diff", compare)
    make: Callable[[int], str] = lambda step: "\n".join(str(n * step % 150) for n in range(100_000))  # noqa: E731
    assert diff_scripts(make(7), make(11), "a", "b").count("\n-") > 90_000
    assert compared == []
