"""The comparison of two runs and of their logs: the service, the page and the API."""

import random
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from cronium_admin.accounts.models import Project, User
from cronium_admin.jobs.models import Job
from cronium_admin.jobs.service import save_job
from cronium_admin.logs import comparison as logs
from cronium_admin.logs.comparison import compare_logs
from cronium_admin.logs.line_diff import diff_lines
from cronium_admin.runs import comparison
from cronium_admin.runs.comparison import MAX_PATHS, compare_runs
from cronium_admin.runs.launch import launch
from cronium_admin.runs.lookup import find_compared_runs, find_last_success
from cronium_admin.runs.models import Run
from cronium_admin.runs.overrides import Overrides
from tests.conftest import Api
from tests.unit.log_storage import give_log
from tests.unit.test_projects import make_job_in, make_member, sign_in, south  # noqa: F401 - a fixture
from tests.users import get_admin


def end(run: Run, status: str, **values: Any) -> Run:
    now = timezone.now()
    times = {"claimed_at": now, "started_at": now, "finished_at": now + timedelta(seconds=3)}
    Run.objects.filter(pk=run.pk).update(status=status, **(times | values))
    run.refresh_from_db()
    return run


@pytest.fixture
def pair(job: Job) -> tuple[Run, Run]:
    good = end(launch(job, get_admin(), Overrides(env={"REGION": "south"})), "succeeded", exit_code=0, host="east")
    job.refresh_from_db()
    job.script, job.timeout_seconds = "echo hello\nexit 3", 60
    job.save()
    Job.objects.filter(pk=job.pk).update(revision=2)
    job.refresh_from_db()
    bad = launch(job, get_admin(), Overrides(input={"day": 2, "rows": [1, {"id": "x"}]}))
    return good, end(bad, "failed", exit_code=3, host="west", reason="exit_code")


def compare(*runs: Run, shows_env: bool = True) -> Any:
    return compare_runs(*find_compared_runs(get_admin(), runs[0].pk, runs[1].pk), shows_env=shows_env)


def test_what_can_explain_the_difference_comes_first(pair: tuple[Run, Run]) -> None:
    found = compare(*pair)
    assert [section.key for section in found.differing_causes] == ["script", "env", "input", "limits", "start"]
    assert "+exit 3" in found.causes[0].diff
    assert "-echo hello\n" not in found.causes[0].diff
    rows = {row.key: (row.a, row.b) for section in found.causes for row in section.differing}
    assert rows["REGION"] == ("south", "north")
    assert rows["day"] == ("1", "2")
    assert rows["rows"] == ("", '[1,{"id":"x"}]')
    assert rows["timeout_seconds"] == ("1 h", "1 min")
    assert rows["host"] == ("east", "west")
    results = {row.key: (row.a, row.b) for section in found.effects for row in section.differing}
    assert results["status"] == ("Succeeded", "Failed")
    assert results["exit_code"] == ("0", "3")


def test_the_older_run_comes_first_whatever_the_order(pair: tuple[Run, Run]) -> None:
    found = compare(pair[1], pair[0])
    assert (found.a.pk, found.b.pk) == (pair[0].pk, pair[1].pk)


def test_values_of_variables_need_the_permission_to_edit(pair: tuple[Run, Run], people: dict[str, User]) -> None:
    row = next(row for row in compare(*pair, shows_env=False).causes[2].rows if row.key == "REGION")
    assert (row.a, row.b, row.is_equal) == ("hidden", "hidden", False)
    query = {"a": pair[0].pk, "b": pair[1].pk}
    for role, shown in (("viewer", False), ("operator", False), ("editor", True)):
        page = sign_in(people[role]).get("/runs/compare/", query).content.decode()
        assert "REGION" in page
        assert (">south<" in page) == shown, role


def test_a_value_with_many_differences_is_cut_and_says_so(pair: tuple[Run, Run]) -> None:
    for run, base in zip(pair, (0, 10_000), strict=True):
        Run.objects.filter(pk=run.pk).update(output=[base + n for n in range(1000)], output_at=timezone.now())
    output = next(section for section in compare(*pair).effects if section.key == "output")
    assert len(output.rows) == MAX_PATHS
    assert output.note == "The list ends after 200 differences."
    deep: Any = 0
    for _ in range(400):
        deep = [deep]
    Run.objects.filter(pk=pair[0].pk).update(output=deep)
    assert compare(*pair).effects[1].rows


def test_a_failed_run_is_compared_with_the_last_success_before_it(
    pair: tuple[Run, Run], job: Job, people: dict[str, User]
) -> None:
    good, bad = pair
    assert find_last_success(bad) == good
    assert find_last_success(good) is None
    later = end(launch(job, get_admin()), "succeeded")
    assert find_last_success(bad) == good, "not a later one"
    client = sign_in(people["viewer"])
    assert client.get("/runs/compare/", {"a": bad.pk})["Location"] == f"/runs/compare/?a={bad.pk}&b={good.pk}"
    by_number = client.get("/runs/compare/", {"a": bad.pk, "number": f"#{later.number}"})
    assert by_number["Location"] == f"/runs/compare/?a={bad.pk}&b={later.pk}"
    assert "No stored run of this job before" in client.get("/runs/compare/", {"a": good.pk}).content.decode()
    for number in ("77", "x", "9" * 30):
        page = client.get("/runs/compare/", {"a": bad.pk, "number": number})
        assert "The job has no run" in page.content.decode()


def test_the_api_compares(pair: tuple[Run, Run], viewer: Api) -> None:
    good, bad = pair
    found = viewer.get(f"/runs/{bad.pk}/compare").json()
    assert (found["a"]["number"], found["b"]["number"], found["same_job"]) == (1, 2, True)
    assert found["differs"][:3] == ["script", "env", "input"]
    assert viewer.get(f"/runs/{bad.pk}/compare?with={good.pk}").json() == found
    assert viewer.get(f"/runs/{good.pk}/compare").json()["code"] == "no_success"
    assert viewer.get(f"/runs/{bad.pk}/compare?with=x").status_code == 422


def test_runs_of_different_jobs_are_named(pair: tuple[Run, Run], make_job: Any, people: dict[str, User]) -> None:
    other = end(launch(make_job(name="Other", slug="other"), get_admin()), "succeeded")
    page = sign_in(people["viewer"]).get("/runs/compare/", {"a": other.pk, "b": pair[0].pk}).content.decode()
    assert "These are runs of different jobs." in page


def test_both_runs_must_be_visible(pair: tuple[Run, Run], south: Project) -> None:  # noqa: F811
    own = end(launch(make_job_in(south), None), "succeeded")
    member = make_member("admin", south)
    client, api = sign_in(member), Api(member)
    for a, b in ((own, pair[0]), (pair[0], own), (pair[0], pair[1])):
        for path in ("/runs/compare/", "/runs/compare/log/"):
            assert client.get(path, {"a": a.pk, "b": b.pk}).status_code == 404
        for path in ("compare", "compare/log"):
            assert api.get(f"/runs/{a.pk}/{path}?with={b.pk}").status_code == 404
    assert client.get("/runs/compare/", {"a": own.pk, "b": own.pk}).status_code == 200
    assert client.get("/runs/compare/", {"a": "x", "b": own.pk}).status_code == 404
    assert client.get("/runs/compare/").status_code == 404


def test_the_page_shows_text_of_a_job_as_text(pair: tuple[Run, Run], people: dict[str, User]) -> None:
    Run.objects.filter(pk=pair[1].pk).update(output={"<b>": "<script>x</script>"}, output_at=timezone.now())
    give_log(pair[1], b"<script>alert(1)</script>\n")
    client, query = sign_in(people["viewer"]), {"a": pair[0].pk, "b": pair[1].pk}
    for path in ("/runs/compare/", "/runs/compare/log/"):
        assert "<script>" not in client.get(path, query).content.decode().partition("<main")[2]


def kinds(part: list[Any]) -> list[tuple[str, int, int]]:
    return [(line.kind, line.a, line.b) for line in part]


def test_lines_that_differ_in_times_and_ids_are_equal(pair: tuple[Run, Run]) -> None:
    give_log(pair[0], b"2026-11-28 07:00:01 start 3f2a8c1b9d04\ntook 12.4 s\nsame\n")
    give_log(pair[1], b"2026-11-29 07:00:02 start 9f2a8c1b9d05\ntook 99 ms\nsame\nKeyError: 'b'\n")
    found = compare_logs(pair[0].pk, pair[1].pk, normalizes=True)
    assert kinds(found.parts[0]) == [("equal", 1, 1), ("equal", 2, 2), ("equal", 3, 3), ("added", 0, 4)]
    exact = compare_logs(pair[0].pk, pair[1].pk, normalizes=False)
    assert (exact.removed, exact.added) == (2, 3)
    assert not exact.is_equal


def test_equal_lines_are_folded_and_colours_do_not_count(pair: tuple[Run, Run]) -> None:
    lines = b"".join(b"line %d\n" % number for number in range(40))
    give_log(pair[0], lines + b"\x1b[31mred\x1b[0m\n")
    give_log(pair[1], lines + b"red\nlast\n")
    found = compare_logs(pair[0].pk, pair[1].pk, normalizes=False)
    assert [line.count for line in found.parts[0] if line.kind == "skipped"] == [38]
    assert found.added == 1


def test_of_long_logs_the_ends_are_compared_and_the_rest_is_named(
    pair: tuple[Run, Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "HEAD_LINES", 10)
    monkeypatch.setattr(logs, "TAIL_LINES", 5)
    for run, error in zip(pair, (b"fine", b"broken"), strict=True):
        give_log(run, b"".join(b"line x%dx\n" % n for n in range(100)) + error + b"\n")
    found = compare_logs(pair[0].pk, pair[1].pk, normalizes=True)
    assert len(found.parts) == 2
    assert [(line.kind, line.text) for line in found.parts[1][-2:]] == [("removed", "fine"), ("added", "broken")]
    assert found.notes[0] == "86 lines in the middle of the first log were not compared."
    assert not found.is_equal


def test_a_removed_log_is_named(pair: tuple[Run, Run], viewer: Api) -> None:
    Run.objects.filter(pk=pair[0].pk).update(log_pruned_at=timezone.now(), log_pruned_why="it was old")
    found = viewer.get(f"/runs/{pair[1].pk}/compare/log?with={pair[0].pk}").json()
    assert not found["equal"]
    assert found["notes"][0].startswith("The log of #1 can't be compared:")


def test_the_result_is_bounded(pair: tuple[Run, Run], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "MAX_SHOWN", 20)
    give_log(pair[0], b"".join(b"old %da\n" % n for n in range(50)))
    give_log(pair[1], b"".join(b"new %da\n" % n for n in range(50)))
    found = compare_logs(pair[0].pk, pair[1].pk, normalizes=False)
    assert len(found.parts[0]) == 20
    assert found.notes == ["80 more different lines are not shown."]


def test_the_blocks_of_a_difference_cover_both_lists() -> None:
    chance = random.Random(18)
    for _ in range(200):
        a = [str(chance.randrange(20)) for _ in range(chance.randrange(50))]
        b = [line for line in a if chance.random() > 0.2] + [str(chance.randrange(20)) for _ in range(5)]
        blocks, is_late = diff_lines(a, b, 5)
        assert not is_late
        assert [line for block in blocks for line in a[block.a_start : block.a_end]] == a
        assert [line for block in blocks for line in b[block.b_start : block.b_end]] == b
        assert all(
            a[block.a_start : block.a_end] == b[block.b_start : block.b_end] for block in blocks if block.is_equal
        )


def test_past_the_time_limit_the_rest_is_different() -> None:
    blocks, is_late = diff_lines(["a", "b", "x"], ["c", "b", "x"], -1)
    assert is_late
    assert [block.is_equal for block in blocks] == [False, True]


def test_a_large_equal_part_is_no_proof_that_all_is_equal(
    pair: tuple[Run, Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comparison, "MAX_NODES", 5)
    job = Job.objects.get(pk=pair[0].job_id)
    runs = [launch(job, get_admin(), Overrides(input=[*range(10), last])) for last in (1, 2, 1)]
    section = next(each for each in compare(*runs[:2]).causes if each.key == "input")
    assert (section.is_equal, section.rows) == (False, [])
    assert section.note == "They differ. Only the first 5 values were compared one by one."
    section = next(each for each in compare(runs[0], runs[2]).causes if each.key == "input")
    assert (section.is_equal, section.note) == (True, "")


def test_a_run_is_not_compared_with_itself(pair: tuple[Run, Run], people: dict[str, User], viewer: Api) -> None:
    client, bad = sign_in(people["viewer"]), pair[1]
    for query in ({"a": bad.pk, "b": bad.pk}, {"a": bad.pk, "number": bad.number}):
        text = client.get("/runs/compare/", query).content.decode()
        assert "itself. Choose another run." in text
        assert "Outcome</h2>" not in text
    part = client.get("/runs/compare/log/part/", {"a": bad.pk, "b": bad.pk})
    assert (part.status_code, "the same run twice" in part.content.decode()) == (422, True)
    for route in ("compare", "compare/log"):
        answer = viewer.get(f"/runs/{bad.pk}/{route}?with={bad.pk}")
        assert (answer.status_code, answer.json()["code"]) == (422, "same_run"), route


def test_what_is_not_compared_is_not_called_equal(job: Job, people: dict[str, User]) -> None:
    good, bad = (end(launch(job, get_admin()), status) for status in ("succeeded", "failed"))
    text = sign_in(people["viewer"]).get("/runs/compare/", {"a": bad.pk, "b": good.pk}).content.decode()
    assert "Not compared: values of secrets, variables that the script reads, and services that it uses." in text


def test_hidden_characters_of_scripts_and_logs_are_shown_as_codes(
    pair: tuple[Run, Run], people: dict[str, User]
) -> None:
    give_log(pair[0], b"same\n")
    give_log(pair[1], "same\n\x1b[31mred\x1b[0m \u202eright to left\u202c a\rb\n".encode())
    job = Job.objects.get(pk=pair[0].job_id)
    save_job(job, {"script": "if ok:\u202e\u2066 return\n\tpass"}, get_admin())
    last = end(launch(Job.objects.get(pk=job.pk), get_admin()), "failed")
    client = sign_in(people["editor"])
    part = client.get("/runs/compare/log/part/", {"a": pair[0].pk, "b": pair[1].pk}).content.decode()
    assert "red [U+202E]right to left[U+202C] a[U+000D]b" in part
    for address in (
        f"/runs/compare/?a={pair[1].pk}&b={last.pk}",
        f"/runs/{last.pk}/script/",
        "/jobs/report/script/",
        "/jobs/report/history/?before=2&after=3",
    ):
        text = client.get(address).content.decode()
        assert "if ok:[U+202E][U+2066] return" in text, address
        assert "\tpass" in text, address
        assert "\u202e" not in text, address


def test_runs_of_a_deleted_job_are_runs_of_one_job(pair: tuple[Run, Run], people: dict[str, User]) -> None:
    Job.objects.filter(pk=pair[0].job_id).delete()
    client, query = sign_in(people["viewer"]), {"a": pair[0].pk, "b": pair[1].pk}
    assert "runs of different jobs" not in client.get("/runs/compare/", query).content.decode()
    assert compare(*pair).is_same_job
    answer = Api(people["viewer"]).get(f"/runs/{pair[1].pk}/compare").json()
    assert "was deleted" in answer["detail"]
    Run.objects.filter(pk=pair[1].pk).update(job_slug="other", job_name="Other")
    assert "runs of different jobs" in client.get("/runs/compare/", query).content.decode()
    give_log(pair[0], b"one\n")
    give_log(pair[1], b"two\n")
    assert "Other #2" in client.get("/runs/compare/log/part/", query).content.decode()
