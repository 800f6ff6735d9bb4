"""Template tags: the last log lines of runs, for list templates of packages that may not import `logs`."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django import template
from django.template import Context
from django.utils.html import format_html
from django.utils.safestring import SafeString

from cronium_admin.core.page_links import build_link
from cronium_admin.core.templatetags.ui import render_text_line
from cronium_admin.jobs.templatetags.job_cells import wrap_cell
from cronium_admin.logs.preview import fetch_ended_lines
from cronium_admin.logs.preview import fetch_last_lines as lines_of
from cronium_admin.runs.models import ON_HOST, Run, Status
from cronium_admin.runs.presentation.why import explain_run

register = template.Library()


@register.simple_tag(takes_context=True)
def last_lines(context: Context, runs: Iterable[Run]) -> dict[UUID, str]:
    return lines_of((run.pk for run in runs if run.status in ON_HOST), context["request"].user)


@register.simple_tag(takes_context=True)
def ended_lines(context: Context, runs: Iterable[Run | None]) -> dict[UUID, str]:
    """Of the runs that succeeded: those that failed show why instead."""
    good = (run.pk for run in runs if run is not None and run.status == Status.SUCCEEDED)
    return fetch_ended_lines(good, context["request"].user)


@register.filter("said_by")
def last_line_of(lines: dict[UUID, str], run: Any) -> str:
    return lines.get(run.pk, "")


@register.simple_tag(name="job_said")
def render_job_said(
    row: dict[str, Any], said: dict[UUID, str], ended: dict[UUID, str], oob: bool = False
) -> SafeString:
    """Of a row of the list of jobs: the last line of its live run, why its last run failed, or its last line."""
    return wrap_cell(row, "said", _render_said(row, said, ended), oob, "div")


def _render_said(row: dict[str, Any], said: dict[UUID, str], ended: dict[UUID, str]) -> SafeString | str:
    last, failed, is_enabled = row["last"], row["failed"], row["job"].enabled
    if last and last.is_live:
        return format_html('<span class="said" id="said-{}">{}</span>', last.pk, said.get(last.pk, ""))
    if failed and is_enabled:
        return _render_why(failed, is_last=failed.pk == (last and last.pk))
    if is_enabled and last and last.status == Status.SUCCEEDED and (line := ended.get(last.pk, "")):
        return format_html('<span class="said" title="{}">{}</span>', line, line)
    return ""


def _render_why(run: Run, is_last: bool) -> SafeString:
    why = explain_run(run)
    words = render_text_line(why)
    link = '<a class="plain said{}" tabindex="-1" href="{}" title="{}">{}{}</a>'
    number = "" if is_last else format_html('<span class="dim">#{}</span> ', run.number)
    return format_html(
        link, "" if why.is_output else " plain-words", build_link("runs:run", run.pk), words, number, words
    )
