"""Template tags and filters for all pages: icons, statuses, durations, JSON. Makes no database query."""

import json
import re
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from functools import lru_cache
from typing import Any

from django import template
from django.core.files.storage import Storage, storages
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from cronium_admin.core import json_text
from cronium_admin.core.database.clock import database_now
from cronium_admin.core.line_text import escape_line
from cronium_admin.core.markdown import render_markdown
from cronium_admin.core.terminal_text import escape_hidden

register = template.Library()

# Each status has an icon and a word, so that colour is never the only sign.
STATES = {
    "queued": ("clock", "Queued"),
    "starting": ("hourglass", "Starting"),
    "running": ("loader-2", "Running"),
    "succeeded": ("circle-check", "Succeeded"),
    "failed": ("circle-x", "Failed"),
    "timed_out": ("clock-exclamation", "Timed out"),
    "cancelled": ("ban", "Cancelled"),
    "cancelling": ("player-stop", "Cancelling…"),
    "errored": ("alert-triangle", "Couldn't start"),
    "broken": ("alert-triangle", "System error"),
    "lost": ("plug-x", "Lost"),
    "disabled": ("player-pause", "Disabled"),
    # Of the planned times of a schedule.
    "ran": ("circle-check", "Ran"),
    "late": ("clock-exclamation", "Late"),
    "caught_up": ("arrow-back-up", "Caught up"),
    "merged": ("arrow-merge", "Merged"),
    "overlapped": ("player-track-next", "Overlapped"),
    "missed": ("clock-x", "Missed"),
    "blackout": ("calendar-off", "Blackout"),
    "gap": ("clock-off", "No such time"),
    "not_ready": ("alert-triangle", "Not ready"),
    "planned": ("calendar-clock", "Planned"),
    # Of incidents.
    "open": ("alert-triangle", "Open"),
    "closed": ("circle-check", "Closed"),
    # Of checks and their pings.
    "new": ("clock", "New"),
    "up": ("circle-check", "Up"),
    "down": ("circle-x", "Down"),
    "paused": ("player-pause", "Paused"),
    "success": ("circle-check", "Success"),
    "start": ("player-play", "Start"),
    "fail": ("circle-x", "Failure"),
    "log": ("info-circle", "Log"),
}
LANGUAGES = {"bash": ("terminal-2", "Bash"), "python": ("brand-python", "Python"), "node": ("brand-nodejs", "Node.js")}
_AGE_UNITS = ((172_800, "d"), (3600, "h"), (60, "min"))  # from this many seconds; as the page's script
MAX_JSON_CHARACTERS = 4000  # characters of a value on a page; the API returns the whole value


@register.filter(name="line")
def render_text_line(text: Any) -> str:
    return escape_line(str(text if text is not None else ""))


register.filter("markdown", render_markdown)
register.filter("revealed", escape_hidden)


@register.filter(name="breakable")
def render_breakable(text: str) -> SafeString:
    """The text, which may be wrapped after each of / : @ of an image's name."""
    parts = re.split(r"(?<=[/:@])", render_text_line(text))
    return format_html_join(mark_safe("<wbr>"), "{}", ((part,) for part in parts))


@register.simple_tag(name="icon")
def render_icon(name: str, extra: str = "") -> SafeString:
    # Hidden from screen readers: the text beside the icon has the same meaning.
    return _build_icon(storages["staticfiles"], name, extra)


@lru_cache(maxsize=512, typed=True)  # typed: a text that is safe is equal to the same text that must be escaped
def _build_icon(static_files: Storage, name: str, extra: str) -> SafeString:
    return format_html(
        '<svg class="i {}" aria-hidden="true" focusable="false"><use href="{}#{}"/></svg>',
        extra,
        static_files.url("cronium/sprite.svg"),
        name,
    )


@register.simple_tag(name="state")
def render_status_badge(status: str, bare: bool = False) -> SafeString:
    if not status:
        return format_html('<span class="state bare s-none">{}</span>', "Never run")
    name, word = STATES.get(status, ("info-circle", status))
    return format_html(
        '<span class="state s-{}{}">{}<span>{}</span></span>',
        status,
        " bare" if bare else "",
        render_icon(name, "spin" if status == "running" else ""),
        word,
    )


def derive_display_status(run: Any) -> str:
    """A key of STATES: the run's status, or `cancelling` or `broken`, which pages show as statuses of their own."""
    if run.status in ("queued", "starting", "running") and run.cancel_requested_at:
        return "cancelling"
    return "broken" if run.status == "errored" and run.started_at else str(run.status)


@register.filter(name="state_word")
def describe_run_status(run: Any) -> str:
    return STATES[derive_display_status(run)][1]


@register.simple_tag(name="state_words")
def render_status_words() -> str:
    # As JSON, for the page's script
    return json.dumps({status: word for status, (_, word) in STATES.items()})


@register.simple_tag(name="run_state")
def render_run_status(run: Any, bare: bool = False) -> SafeString:
    return render_status_badge(derive_display_status(run), bare)


@register.simple_tag(name="language")
def render_language(name: str) -> SafeString:
    symbol, word = LANGUAGES.get(name, ("terminal-2", name))
    return format_html('<span class="lang">{}<span>{}</span></span>', render_icon(symbol, "i-s"), word)


@register.simple_tag(name="language_icon")
def render_language_icon(name: str) -> SafeString:
    symbol, word = LANGUAGES.get(name, ("terminal-2", name))
    return format_html('{}<span class="vh">{}</span>', render_icon(symbol, "i-s"), word)


@register.filter(name="duration")
def format_duration(value: timedelta | None) -> str:
    """380 ms, 12.3 s, 2:05, 1:02:05."""
    if value is None:
        return ""
    seconds = max(0.0, value.total_seconds())
    if seconds < 0.995:
        return f"{_round_half_up(seconds * 1000, 0)} ms"
    if seconds < 60:
        return f"{_round_half_up(seconds, 1)} s"
    total = int(seconds)
    minutes, seconds_left = divmod(total, 60)
    return (
        f"{minutes // 60}:{minutes % 60:02d}:{seconds_left:02d}" if minutes >= 60 else f"{minutes}:{seconds_left:02d}"
    )


@register.filter(name="ms")
def format_milliseconds(value: float) -> str:
    """4.2 ms, 380 ms, 12.3 s."""
    return f"{value:.1f} ms" if value < 9.95 else format_duration(timedelta(milliseconds=value))


def _round_half_up(value: float, digits: int) -> Decimal:
    # As the page's script rounds
    return Decimal(value).quantize(Decimal(10) ** -digits, ROUND_HALF_UP)


@register.filter(name="taken")
def format_run_duration(run: Any) -> str:
    return format_duration(run.finished_at - (run.started_at or run.created_at))


@register.filter(name="seconds_long")
def format_seconds(value: int) -> str:
    """45 s, 5 min, 1 h, 1 h 30 min."""
    hours, remainder = divmod(int(value), 3600)
    minutes, seconds = divmod(remainder, 60)
    parts = [f"{hours} h" if hours else "", f"{minutes} min" if minutes else "", f"{seconds} s" if seconds else ""]
    return " ".join(part for part in parts if part) or "0 s"


@register.filter(name="memory")
def format_memory(value: int) -> str:
    """512 MB, 1 GB, 1.5 GB; `value` is in megabytes."""
    return f"{value / 1024:g} GB" if value >= 1024 and value % 256 == 0 else f"{value:,} MB"


@register.filter(name="plain")
def format_decimal(value: Any) -> str:
    return f"{float(value):g}"


@register.filter(name="thousands")
def format_count(value: int) -> str:
    return f"{value:,}"


@register.filter(name="limits")
def describe_limits(value: Any) -> str:
    return f"{format_decimal(value.cpu)} CPU · {format_memory(value.memory_mb)} · {value.pids:,} processes"


@register.filter(name="log_limit")
def describe_log_limit(value: Any) -> str:
    effect = "the rest is dropped" if value.on_log_limit == "drop" else "then the run is stopped"
    return f"{format_memory(value.limits.log_limit_mb)}, {effect}"


@register.filter(name="streams")
def describe_streams(value: Any) -> str:
    if value.streams == "merged":
        return "merged into stdout, in exact order"
    return "stdout and stderr apart"


@register.simple_tag(name="when")
def render_time(at: datetime | None, exact: bool = False) -> SafeString | str:
    # The page's script replaces the text by "5 min ago".
    if at is None:
        return ""
    form = "%H:%M:%S" if exact else "%Y-%m-%d %H:%M:%S UTC"
    kind = "data-hour" if exact else "data-rel"
    return format_html('<time datetime="{}" {}>{}</time>', at.isoformat(), kind, at.strftime(form))


@register.simple_tag(name="age")
def render_age(at: datetime) -> SafeString:
    """For sentences such as "Down for 5 min"; the page's script keeps it up to date."""
    seconds = max(0, int((database_now() - at).total_seconds()))
    size, unit = next((pair for pair in _AGE_UNITS if seconds >= pair[0]), (1, "s"))
    exact = at.strftime("since %Y-%m-%d %H:%M:%S UTC")
    return format_html(
        '<span class="num" data-since="{}" title="{}">{} {}</span>', format_unix_ms(at), exact, seconds // size, unit
    )


@register.filter(name="unix_ms")
def format_unix_ms(at: datetime | None) -> str:
    return str(int(at.timestamp() * 1000)) if at else ""


@register.simple_tag(name="now_ms")
def format_now_ms() -> str:
    return format_unix_ms(database_now())


@register.filter(name="pretty")
def format_json(value: Any) -> str:
    text, is_cut = json_text.format_indented(value, MAX_JSON_CHARACTERS)
    return f"{text}\n… cut after {MAX_JSON_CHARACTERS:,} characters; the API gives the whole value." if is_cut else text


@register.filter(name="share_of")
def compute_percentage(value: Any, whole: Any) -> int:
    """`value` as a percentage of `whole`, an integer from 0 to 100, for the class of a bar."""
    return min(100, max(0, round(100 * float(value) / float(whole)))) if whole else 0
