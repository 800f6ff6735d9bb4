"""Template tags: the last log lines of runs, for list templates of packages that may not import `logs`."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django import template
from django.template import Context

from cronium_admin.logs.preview import fetch_ended_lines
from cronium_admin.logs.preview import fetch_last_lines as lines_of
from cronium_admin.runs.models import ON_HOST, Run, Status

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
