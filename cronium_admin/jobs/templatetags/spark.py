"""Draws a job's last runs as a sparkline of twenty cells. Shape and colour both show the state."""

from collections import Counter
from typing import Any

from django import template
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from cronium_admin.core.templatetags.ui import STATES, derive_display_status, format_duration

register = template.Library()
SLOTS, STEP, HEIGHT = 20, 8, 20
# Shapes: low for success, full for failure, notched for a timeout, hollow for a live run.
_LOW, _FULL, _STUB = "M0 12h6v8h-6z", "M0 0h6v20h-6z", "M0 15h6v5h-6z"
_NOTCHED, _HOLLOW, _HALF = "M0 0h2v4h2v-4h2v20h-6z", "M.75.75h4.5v18.5h-4.5z", "M.75 8.75h4.5v10.5h-4.5z"
SHAPES = {
    "succeeded": _LOW,
    "failed": _FULL,
    "broken": _FULL,
    "lost": _FULL,
    "timed_out": _NOTCHED,
    "errored": _HOLLOW,
    "cancelled": _STUB,
}


def _build_cell(base: str, place: int, run: Any, name: str) -> tuple[str, int, int, str, str, str]:
    duration_text = (
        f", {format_duration(run.finished_at - run.started_at)}" if run.finished_at and run.started_at else ""
    )
    title = f"#{run.number} {STATES[name][1]}{duration_text}, {run.created_at:%Y-%m-%d %H:%M} UTC"
    return base, run.number, place * STEP, name, SHAPES.get(name, _HALF), title


def _describe_runs(names: list[str]) -> str:
    counts = Counter(STATES[name][1].lower() for name in names)
    return f"Last {len(names)} runs: " + ", ".join(f"{count} {word}" for word, count in counts.most_common())


@register.simple_tag(name="sparkline")
def render_sparkline(job: Any, runs: list[Any]) -> SafeString | str:
    # Draws `runs`, oldest first, each a link to its run. Screen readers and keyboards get one sentence instead of
    # twenty links per row.
    if not runs:
        return ""
    first, names = SLOTS - len(runs), [derive_display_status(run) for run in runs]
    # Resolved once: a list has a thousand of these links.
    base = reverse("jobs:runs", args=[job.slug])
    none = format_html_join("", '<path d="M{} 19.5h6"/>', ((place * STEP,) for place in range(first)))
    cells = format_html_join(
        "",
        '<a href="{0}{1}/" tabindex="-1"><title>{5}</title><g transform="translate({2})" class="s-{3}">'
        '<path class="hit" d="M-1 0h8v20h-8z"/><path d="{4}"/></g></a>',
        (
            _build_cell(base, first + place, run, name)
            for place, (run, name) in enumerate(zip(runs, names, strict=True))
        ),
    )
    return format_html(
        '<svg class="spark" aria-hidden="true" viewBox="0 0 {} {}">{}{}</svg><span class="vh">{}</span>',
        *(SLOTS * STEP - 2, HEIGHT, none, cells, _describe_runs(names)),
    )
