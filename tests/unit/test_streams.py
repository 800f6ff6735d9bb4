"""How stdout and stderr reach a log: the job's choice, from the editor and the API to the payload."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.test import Client

from cronium_admin.accounts.models import User
from cronium_admin.jobs.models import Job
from cronium_admin.logs.models import LogHead
from cronium_admin.runs.launch import launch
from cronium_admin.runs.models import Run
from cronium_admin.workers.run_spec import build_spec
from executor.run import payload
from executor.sandbox import bootstrap
from tests.conftest import Api
from tests.fakes.specs import make_spec
from tests.users import get_admin


@pytest.mark.parametrize("merge", [False, True])
@pytest.mark.parametrize("script", ["echo out; echo err >&2; echo more >/dev/stderr", "#!/opt/none/lua\n"])
def test_what_a_script_and_its_start_write_goes_to_one_pipe(merge: bool, script: str, tmp_path: Path) -> None:
    sent = payload.build_payload(make_spec(script=script, merge_streams=merge)).replace(b"/workspace", bytes(tmp_path))
    shell = shutil.which("dash") or "/bin/sh"
    done = subprocess.run([shell, "-c", bootstrap.BOOTSTRAP], input=sent, capture_output=True, timeout=60, check=False)
    assert bool(done.stderr) is not merge
    said = b"which this image does not have" if script.startswith("#!") else b"err\nmore\n"
    assert said in (done.stdout if merge else done.stderr)


def test_a_run_keeps_the_streams_it_was_launched_with_and_a_rerun_too(editor: Api, job: Job) -> None:
    assert editor.get("/jobs/report").json()["streams"] == "separate"
    changed = editor.patch("/jobs/report", {"streams": "merged"}).json()
    assert (changed["streams"], changed["revision"]) == ("merged", 2)
    first = editor.post("/jobs/report/runs").json()
    editor.patch("/jobs/report", {"streams": "separate"})
    again = editor.post(f"/runs/{first['id']}/rerun").json()
    other = editor.post("/jobs/report/runs").json()
    assert [run["streams"] for run in (first, again, other)] == ["merged", "merged", "separate"]
    specs = [build_spec(Run.objects.get(pk=run["id"]), "instance", "host") for run in (first, again, other)]
    assert [spec.merge_streams for spec in specs] == [True, True, False]
    listed = {item["id"]: item["streams"] for item in editor.get("/runs").json()["items"]}
    assert listed == {first["id"]: "merged", again["id"]: "merged", other["id"]: "separate"}


def test_a_job_is_made_with_merged_streams(editor: Api) -> None:
    body = {"name": "One pipe", "language": "bash", "script": "true", "streams": "merged"}
    assert editor.post("/jobs", body).json()["streams"] == "merged"


@pytest.mark.parametrize("value", ["joined", "", None, True, "MERGED"])
def test_another_word_is_refused(editor: Api, job: Job, value: Any, nothing_stored: None) -> None:
    answer = editor.patch("/jobs/report", {"streams": value})
    assert (answer.status_code, list(answer.json()["fields"])) == (422, ["streams"])
    assert editor.post("/jobs/report/runs", {"streams": "merged"}).status_code == 422  # a launch does not change it


def test_the_database_knows_the_two_words(job: Job) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        Job.objects.update(streams="joined")


@pytest.fixture
def page(people: dict[str, User]) -> Client:
    client = Client()
    client.force_login(people["editor"])
    return client


def test_the_editor_offers_both_and_keeps_what_was_not_sent(page: Client, job: Job) -> None:
    form = {"name": "Report", "language": "bash", "script": "true", "profile": "small", "timeout_seconds": "60"}
    shown = page.get("/jobs/report/edit/").content.decode()
    assert 'name="streams" value="separate" id="id_streams" checked' in shown
    assert "the order of lines of different streams is not exact" in shown
    assert page.post("/jobs/report/edit/", {**form, "revision": "1", "streams": "merged"}).status_code == 302
    assert 'value="merged" id="id_streams_merged" checked' in page.get("/jobs/report/edit/").content.decode()
    page.post("/jobs/report/edit/", {**form, "revision": "2", "name": "Another"})
    assert Job.objects.values_list("name", "streams").get() == ("Another", "merged")
    refused = page.post("/jobs/report/edit/", {**form, "revision": "3", "streams": "joined"})
    assert (refused.status_code, 'id="streams-error"' in refused.content.decode()) == (422, True)


@pytest.mark.parametrize(
    ("streams", "head", "errors", "is_marked"),
    [
        (
            "separate",
            {"lines": 7, "stdout_lines": 5, "stdout_bytes": 50, "stderr_lines": 2, "stderr_bytes": 9},
            2,
            True,
        ),
        ("separate", {"lines": 2, "stdout_lines": 1, "stdout_bytes": 5, "stderr_bytes": 3}, 1, True),  # without its end
        ("separate", {"lines": 2, "stderr_lines": 1, "stderr_bytes": 9}, 2, False),
        ("separate", {"lines": 7, "stdout_lines": 7, "stdout_bytes": 50}, 0, False),
        ("merged", {"lines": 7, "stdout_lines": 7, "stdout_bytes": 50}, 0, False),
    ],
)
def test_the_run_page_marks_an_order_that_is_not_exact(
    page: Client, job: Job, streams: str, head: dict[str, int], errors: int, is_marked: bool
) -> None:
    Job.objects.update(streams=streams)
    run = launch(Job.objects.select_related("profile").get(), get_admin())
    LogHead.objects.create(run=run, **head)
    text = page.get(f"/runs/{run.pk}/").content.decode()
    assert f'data-stderr-lines="{errors}" data-streams="{streams}"' in text
    assert (f"stderr ({errors})" in text) is (errors > 0)
    mark = text.split('data-log="order"')[1].split("</span>")[0].split(">")[0]
    assert mark.endswith(" hidden") is not is_marked
    words = {"separate": "stdout and stderr apart", "merged": "merged into stdout, in exact order"}[streams]
    assert f"<dt>Streams</dt><dd>{words}</dd>" in page.get(f"/runs/{run.pk}/details/").content.decode()
    assert f"<dt>Streams</dt><dd>{words}</dd>" in page.get("/jobs/report/settings/").content.decode()
