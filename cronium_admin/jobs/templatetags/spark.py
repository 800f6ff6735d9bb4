"""Draws a job's last runs as bars: upwards what succeeded, downwards what did not, as high as it took long."""

from collections import Counter
from typing import Any

from django import template
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from cronium_admin.access.templatetags.ui import STATES

register = template.Library()
SLOTS, STEP, HEIGHT, BASE = 20, 5, 24, 16


def _bar(place: int, run: Any, longest: float) -> tuple[int, int, int, str]:
    """x, y, height and state of one bar."""
    share = _seconds(run) / longest if longest else 0
    if run.status == "succeeded":
        height = 3 + round((BASE - 4) * share)
        return place * STEP, BASE - height, height, run.status
    if run.status in ("queued", "starting", "running"):
        return place * STEP, BASE - 4, 4, run.status
    return place * STEP, BASE, 4 + round((HEIGHT - BASE - 4) * share), run.status


def _seconds(run: Any) -> float:
    if not run.finished_at:
        return 0.0
    seconds: float = (run.finished_at - (run.started_at or run.created_at)).total_seconds()
    return max(0.0, seconds)


@register.simple_tag
def sparkline(runs: list[Any]) -> SafeString | str:
    """An SVG of `runs`, oldest first, that says in words what it draws."""
    if not runs:
        return ""
    counts = Counter(STATES.get(run.status, ("", run.status))[1].lower() for run in runs)
    words = f"Last {len(runs)} runs: " + ", ".join(f"{count} {word}" for word, count in counts.most_common())
    longest = max(_seconds(run) for run in runs)
    bars = [_bar(SLOTS - len(runs) + place, run, longest) for place, run in enumerate(runs)]
    drawn = format_html_join("", '<rect x="{}" y="{}" width="4" height="{}" class="s-{}"/>', bars)
    return format_html(
        '<svg class="spark" role="img" aria-label="{}" width="{}" height="{}"><title>{}</title>{}</svg>',
        *(words, SLOTS * STEP, HEIGHT, words, drawn),
    )
