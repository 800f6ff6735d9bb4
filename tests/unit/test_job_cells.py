"""The cells of the list of jobs are written without templates, so each text in them is escaped here."""

import uuid
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.template import Context
from django.urls import reverse
from django.utils import timezone

from cronium_admin.core.page_links import build_link
from cronium_admin.core.templatetags.ui import STATES
from cronium_admin.jobs.recent_runs import RecentRun
from cronium_admin.jobs.templatetags.job_cells import (
    render_job_last,
    render_job_name,
    render_job_state,
    render_pin_button,
    render_run_button,
)
from cronium_admin.jobs.templatetags.spark import render_sparkline
from cronium_admin.logs.templatetags.lastlines import render_job_said
from cronium_admin.runs.models import LIVE, Run, Status

HOSTILE = "<script>alert('1')</script>\"&"
NOW = timezone.now()


def _make_run(status: str = "succeeded", **fields: Any) -> RecentRun:
    values = {"cancel_requested_at": None, "created_at": NOW, "started_at": NOW, "finished_at": None, **fields}
    return RecentRun(pk=uuid.uuid4(), job_id=1, number=1234, status=status, **values)


def _make_row(last: RecentRun | None = None, **fields: Any) -> dict[str, Any]:
    job = SimpleNamespace(
        pk=7, slug="report", name=HOSTILE, language="bash", tags=[HOSTILE, HOSTILE], network="open", enabled=True,
        last_run_number=0,
    )  # fmt: skip
    return {"job": job, "last": last, "late": "", "failed": None, "has_namesake": True, "is_pinned": False, **fields}


def test_each_text_is_escaped() -> None:
    run = _make_run("running")
    row = _make_row(run, late=HOSTILE)
    context = Context({"csrf_token": HOSTILE})
    failed = Run(status="failed", reason="exit_code", error={"text": HOSTILE}, number=3)
    cells = [
        render_job_name(row),
        render_job_state(row),
        render_pin_button(context, row["job"], False, HOSTILE),
        render_run_button(context, row["job"]),
        render_job_said(row, {run.pk: HOSTILE}, {}),
        render_job_said(_make_row(_make_run(), failed=failed), {}, {}),
        render_job_said(_make_row(done := _make_run()), {}, {done.pk: HOSTILE}),
    ]
    for cell in cells:
        assert "<script" not in cell
        assert "alert(&#x27;1&#x27;)" in cell


@pytest.mark.parametrize("status", Status.values)
def test_a_run_is_live_in_a_list_as_elsewhere(status: str) -> None:
    run = _make_run(status)
    assert run.is_live == (status in LIVE)
    assert run.began_at == run.started_at
    assert _make_run(status, started_at=None).began_at == run.created_at


def test_state_and_last_run() -> None:
    assert "Never run" in render_job_state(_make_row())
    row = _make_row()
    row["job"].last_run_number = 3
    assert "No runs kept" in render_job_state(row)
    row["job"].enabled = False
    assert "Disabled" in render_job_state(row)
    assert "–" in render_job_last(row)
    done = _make_run(finished_at=NOW + timedelta(seconds=12.3))
    row["last"] = done
    assert "Disabled" in render_job_state(row)
    assert f'href="/runs/{done.pk}/"' in render_job_last(row)
    assert "12.3 s" in render_job_last(row)
    row["last"] = _make_run("running", cancel_requested_at=NOW)
    assert "Cancelling…" in render_job_state(row)
    assert "data-clock" in render_job_last(row)
    row["last"] = _make_run("queued", started_at=None)
    assert "for <span data-since=" in render_job_last(row)
    row["last"] = _make_run("queued", started_at=None, not_before=NOW)
    assert f'starts <time datetime="{NOW.isoformat()}" data-until>' in render_job_last(row)


def test_cells_of_runs_say_number_state_and_duration() -> None:
    runs = [_make_run(status, finished_at=NOW + timedelta(seconds=2)) for status in Status.values]
    text = render_sparkline(_make_row()["job"], runs)
    for run in runs:
        assert f'href="/jobs/report/runs/{run.number}/"' in text
        name = "broken" if run.status == "errored" else run.status
        word = STATES[name][1].replace("'", "&#x27;")
        assert f"<title>#1234 {word}, 2.0 s, {NOW:%Y-%m-%d %H:%M} UTC</title>" in text


def test_links_are_those_of_the_routes() -> None:
    key = uuid.uuid4()
    assert build_link("runs:run", key) == reverse("runs:run", args=[key])
    for name in ("jobs:job", "jobs:pin", "runs:launch"):
        assert build_link(name, "a-b_c") == reverse(name, args=["a-b_c"])
