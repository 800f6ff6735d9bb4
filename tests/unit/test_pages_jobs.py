"""The list of jobs and a job's own page."""

import gzip
import re
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from cronium_admin.accounts.models import User
from cronium_admin.jobs.models import Job
from cronium_admin.jobs.templatetags.spark import render_sparkline
from cronium_admin.runs.launch import launch
from cronium_admin.runs.models import Run
from tests.users import get_admin

HOSTILE = '<img src=x onerror="alert(1)">'


@pytest.fixture
def client(people: dict[str, User]) -> Client:
    client = Client()
    client.force_login(people["editor"])
    return client


def _end(run: Run, status: str = "succeeded") -> None:
    Run.objects.filter(pk=run.pk).update(status=status, finished_at=timezone.now())


def test_empty_says_how_to_begin(client: Client, people: dict[str, User]) -> None:
    assert "Write the first job" in client.get("/jobs/").content.decode()
    client.force_login(people["viewer"])
    text = client.get("/jobs/").content.decode()
    assert "Write the first job" not in text
    assert "Ask an editor" in text


def test_search_looks_at_name_address_and_tags(client: Client, make_job: Callable[..., Job]) -> None:
    make_job(name="Nightly report", slug="nightly-report", tags=["billing"])
    make_job(name="Rotate logs", slug="rotate-logs", tags=["ops"])
    for query in ("nightly", "NIGHTLY rep", "billing", "Billing report", "nightly-r"):
        text = client.get("/jobs/", {"q": query}).content.decode()
        assert "Nightly report" in text, query
        assert "Rotate logs" not in text, query
    none = client.get("/jobs/", {"q": HOSTILE}).content.decode()
    assert "No job matches" in none
    assert HOSTILE not in none


def test_the_list_alone_names_the_address_of_its_page(client: Client, job: Job) -> None:
    answer = client.get("/job-rows/", {"q": "rep &"})
    assert answer["HX-Replace-Url"] == "/jobs/?q=rep+%26"
    assert client.get("/job-rows/")["HX-Replace-Url"] == "/jobs/?sort=failing"
    text = client.get("/job-rows/", {"q": "report"}).content.decode()
    assert "Report" in text
    assert "<html" not in text


def test_hostile_names_are_text(client: Client, make_job: Callable[..., Job]) -> None:
    job = make_job(name=HOSTILE, slug="hostile", script=f"echo '</pre>{HOSTILE}'", env={"A": HOSTILE}, input=HOSTILE)
    launch(job, get_admin())
    for url in ("/jobs/", "/jobs/hostile/", "/jobs/hostile/edit/", "/runs/", f"/runs/{job.runs.get().pk}/"):
        text = client.get(url).content.decode()
        assert "<img" not in text, url
        assert "&lt;img src=x" in text, url


def test_queries_do_not_grow_with_jobs_and_runs(
    client: Client, make_job: Callable[..., Job], django_assert_num_queries: Any
) -> None:
    for _ in range(3):
        _end(launch(make_job(), get_admin()))
    client.get("/jobs/")
    # session, user, states, jobs, their runs, incidents and pins, last lines, live runs, tags, projects, views
    with django_assert_num_queries(12):
        client.get("/jobs/")
    for job in Job.objects.all():
        for _ in range(4):
            _end(launch(job, get_admin()))
    for _ in range(9):
        make_job()
    with django_assert_num_queries(12):
        client.get("/jobs/")
    ids = list(Job.objects.values_list("pk", flat=True))
    with django_assert_num_queries(6):  # session, user, jobs, their runs
        client.get("/job-states/", {"id": ids})


def test_the_last_twenty_runs_are_drawn_and_told(client: Client, job: Job) -> None:
    for number in range(22):
        _end(launch(job, get_admin()), "failed" if number in (0, 1, 21) else "succeeded")
    text = client.get("/jobs/").content.decode()
    assert "Last 20 runs: 19 succeeded, 1 failed" in text  # the first two failures are too long ago
    cells = re.findall(r'<a href="/jobs/report/runs/(\d+)/" tabindex="-1"><title>#\1 (Succeeded|Failed)', text)
    assert [int(number) for number, _ in cells] == list(range(3, 23))
    assert cells[-1][1] == "Failed"
    assert client.get("/jobs/report/runs/22/")["Location"] == f"/runs/{job.runs.get(number=22).pk}/"
    assert client.get("/jobs/report/runs/23/").status_code == 404
    assert render_sparkline(job, []) == ""


def test_live_cells_come_only_when_something_changed(client: Client, job: Job) -> None:
    first = client.get("/job-states/", {"id": [job.pk]}).content.decode()
    version = first.split("?v=")[1].split("&")[0]
    assert client.get("/job-states/", {"id": [job.pk], "v": version}).status_code == 204
    launch(job, get_admin())
    text = client.get("/job-states/", {"id": [job.pk], "v": version}).content.decode()
    assert f'id="job-{job.pk}-state" hx-swap-oob="true"' in text
    assert "Queued" in text
    assert "<button" not in text
    assert "<input" not in text
    for bad in ("x", "-1", "9" * 30):
        assert client.get("/job-states/", {"id": bad}).status_code == 200


def test_pages_of_fifty(client: Client, make_job: Callable[..., Job]) -> None:
    for number in range(51):
        make_job(name=f"Job {number:02d}", slug=f"n-{number}")
    first = client.get("/jobs/").content.decode()
    assert "1–50 of 51" in first
    assert "Job 50" not in first
    assert "Job 50" in client.get("/jobs/", {"page": 2}).content.decode()
    assert "Job 50" in client.get("/jobs/", {"page": "junk"}).content.decode() or "Job 00" in first


def test_a_job_that_never_ran(client: Client, job: Job) -> None:
    text = client.get("/jobs/report/").content.decode()
    assert "Never run" in text
    assert "Run it now" in text
    assert "cronium/runner:bash-alpine" in client.get("/jobs/report/settings/").content.decode()


def test_a_job_whose_runs_were_deleted_is_not_called_never_run(client: Client, run: Run) -> None:
    Run.objects.all().delete()
    for page in ("/jobs/", "/jobs/report/", "/runs/"):
        text = client.get(page).content.decode()
        assert "No runs kept" in text
        assert 's-none">Never run' not in text
    assert "Its 1 run was deleted" in client.get("/jobs/report/").content.decode()


def test_a_jobs_runs_come_in_pages_by_cursor(client: Client, job: Job) -> None:
    for _ in range(30):
        _end(launch(job, get_admin()))
    first = client.get("/jobs/report/").content.decode()
    assert "#30" in first
    assert "#5<" not in first
    cursor = first.split("?after=")[1].split('"')[0]
    launch(job, get_admin())  # a new run shifts nothing
    second = client.get("/jobs/report/", {"after": cursor}).content.decode()
    assert "#5<" in second
    assert "#6<" not in second
    assert "hx-trigger" not in second.split('id="run-rows"')[1].split(">")[0]
    assert client.get("/jobs/report/", {"after": "junk"}).status_code == 200


def test_a_disabled_job_offers_no_run(client: Client, make_job: Callable[..., Job]) -> None:
    make_job(name="Off", slug="off", enabled=False)
    assert "/runs/launch/off/" not in client.get("/jobs/").content.decode()
    text = client.get("/jobs/off/").content.decode()
    assert "This job is disabled" in text
    assert "/runs/launch/off/" not in text


def test_pages_are_compressed_and_downloads_are_not(client: Client, job: Job, run: Run) -> None:
    accepts = {"Accept-Encoding": "gzip"}
    for address in ("/jobs/", "/job-rows/", f"/runs/{run.pk}/"):
        answer = client.get(address, headers=accepts)
        assert answer["Content-Encoding"] == "gzip", address
        assert "Report" in gzip.decompress(answer.content).decode()
    assert "Content-Encoding" not in client.get("/jobs/")
    for address in ("/runs/count/", f"/api/v1/runs/{run.pk}"):
        assert "Content-Encoding" not in client.get(address, headers=accepts), address


def test_an_error_of_an_earlier_run_says_of_which(client: Client, job: Job) -> None:
    _end(launch(job, get_admin()), "failed")
    Run.objects.update(error={"text": "KeyError: 'seat'"}, reason="exit_code")
    assert ">KeyError: &#x27;seat&#x27;</a>" in client.get("/jobs/").content.decode()
    _end(launch(job, get_admin()), "cancelled")
    assert '<span class="dim">#1</span> KeyError: &#x27;seat&#x27;</a>' in client.get("/jobs/").content.decode()
