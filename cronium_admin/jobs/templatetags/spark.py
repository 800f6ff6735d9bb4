"""Draws a job's last runs as a sparkline of twenty cells. Shape and colour both show the state."""

from collections import Counter
from typing import Any

from django import template
from django.urls import reverse
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

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
_WORDS = {name: escape(word) for name, (_, word) in STATES.items()}


def _render_cell(base: str, place: int, run: Any, name: str) -> str:
    # `base` and the words are escaped, the other values are numbers: `format_html` would take most of a list's time
    took = f", {format_duration(run.finished_at - run.started_at)}" if run.finished_at and run.started_at else ""
    return (
        f'<a href="{base}{int(run.number)}/" tabindex="-1"><title>#{int(run.number)} {_WORDS[name]}{took}, '
        f'{run.created_at.isoformat(" ")[:16]} UTC</title><g transform="translate({place * STEP})" class="s-{name}">'
        f'<path class="hit" d="M-1 0h8v20h-8z"/><path d="{SHAPES.get(name, _HALF)}"/></g></a>'
    )


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
    base = escape(reverse("jobs:runs", args=[job.slug]))
    none = "".join(f'<path d="M{place * STEP} 19.5h6"/>' for place in range(first))
    cells = "".join(_render_cell(base, first + place, run, names[place]) for place, run in enumerate(runs))
    return mark_safe(  # noqa: S308
        f'<svg class="spark" aria-hidden="true" viewBox="0 0 {SLOTS * STEP - 2} {HEIGHT}">{none}{cells}</svg>'
        f'<span class="vh">{escape(_describe_runs(names))}</span>'
    )
