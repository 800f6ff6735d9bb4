"""Cells of the list of jobs. A page has fifty rows, and a template of the same cells takes several times as long.

Those that change while runs are live are sent again by themselves (`oob`: htmx replaces the element with their id).
"""

from typing import Any
from urllib.parse import quote

from django import template
from django.template import Context
from django.template.defaulttags import CsrfTokenNode
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from cronium_admin.core.page_links import build_link
from cronium_admin.core.templatetags.ui import (
    format_run_duration,
    format_unix_ms,
    render_icon,
    render_language_icon,
    render_run_status,
    render_status_badge,
    render_text_line,
    render_time,
)
from cronium_admin.images.models import Language
from cronium_admin.jobs.templatetags.networks import render_network
from cronium_admin.jobs.templatetags.spark import render_sparkline

register = template.Library()
_LINK = '<a class="plain" tabindex="-1" href="{}">{}</a>'
_LATE = '<div><a class="plain" tabindex="-1" href="{}" title="{}">{}<span class="vh">: {}</span></a></div>'
_PIN = (
    '<form method="post" class="pin" action="{0}" hx-post="{0}" hx-swap="outerHTML">{1}'
    '<input type="hidden" name="job" value="{2}"><input type="hidden" name="back" value="{3}">'
    '<input type="hidden" name="pinned" value="{4}"><button class="btn icon-only" id="pin-{2}" aria-pressed="{5}" '
    'aria-label="Pin {6}" title="{7}">{8}</button></form>'
)
_RUN = (
    '<form method="post" action="{}">{}<input type="hidden" name="job" value="{}"><button class="btn small" '
    'aria-label="Run {}">{}<span class="hide-phone">Run</span></button></form>'
)
_EMPTY = SafeString("")
_CSRF = CsrfTokenNode()
_LANGUAGES = dict(Language.choices)


def wrap_cell(row: dict[str, Any], name: str, content: SafeString | str, is_oob: bool, tag: str = "span") -> SafeString:
    oob = SafeString(' hx-swap-oob="true"') if is_oob else _EMPTY
    return format_html('<{0} id="job-{1}-{2}"{3}>{4}</{0}>', tag, row["job"].pk, name, oob, content)


@register.simple_tag(name="job_choice")
def render_job_choice(job: Any) -> SafeString:
    box = (
        '<input type="checkbox" class="pick" name="job" value="{}" form="bulk-form" aria-label="Choose {}" '
        'autocomplete="off">'
    )
    return format_html(box, job.pk, render_text_line(job.name))


@register.simple_tag(name="job_spark")
def render_job_sparkline(row: dict[str, Any], oob: bool = False) -> SafeString:
    return wrap_cell(row, "spark", render_sparkline(row["job"], row["runs"]), oob)


@register.simple_tag(name="job_state")
def render_job_state(row: dict[str, Any], oob: bool = False) -> SafeString:
    state = _render_state(row)
    return wrap_cell(row, "state", state + _render_late(row["job"], row["late"]) if row["late"] else state, oob)


def _render_state(row: dict[str, Any]) -> SafeString:
    job, last = row["job"], row["last"]
    if last and (job.enabled or last.is_live):
        return format_html(_LINK, build_link("runs:run", last.pk), render_run_status(last, True))
    if not job.enabled:
        return render_status_badge("disabled", True)
    if job.last_run_number:
        return SafeString('<span class="state bare s-none">No runs kept</span>')
    return render_status_badge("")


def _render_late(job: Any, late: str) -> SafeString:
    address = f"{reverse('expectations:list')}?job={quote(job.slug)}"
    return format_html(_LATE, address, late, render_status_badge("late", True), late)


@register.simple_tag(name="job_name")
def render_job_name(row: dict[str, Any]) -> SafeString:
    """Its language, name and network, its slug if another job has the same name, and its first tag."""
    job, name = row["job"], render_text_line(row["job"].name)
    return format_html(
        '<div class="job-name"><span class="job-lang" title="{}">{}</span><a class="title" href="{}" title="{}">{}</a>'
        "{}{}{}</div>",
        _LANGUAGES.get(job.language, job.language),
        render_language_icon(job.language),
        build_link("jobs:job", job.slug),
        name,
        name,
        format_html('<span class="meta mono">{}</span>', job.slug) if row["has_namesake"] else "",
        render_network(job.network) if job.network == "open" else "",
        _render_tags(job.tags) if job.tags else "",
    )


def _render_tags(tags: list[str]) -> SafeString:
    address = f"{reverse('jobs:list')}?tag={quote(tags[0])}"
    first = format_html('<a class="tag hide-phone" href="{}">{}</a>', address, tags[0])
    if len(tags) == 1:
        return first
    rest = '<span class="tag hide-phone" title="{}">+{}</span>'
    return first + format_html(rest, ", ".join(tags[1:]), len(tags) - 1)


@register.simple_tag(name="job_last")
def render_job_last(row: dict[str, Any], oob: bool = False) -> SafeString:
    """When its last run began, and how long it took."""
    return wrap_cell(row, "last", _render_last(row["job"], row["last"]), oob)


def _render_last(job: Any, last: Any) -> SafeString:
    if not last:
        return SafeString('<span class="meta">–</span>')
    link = '<a class="meta last num" id="job-{}-link" href="{}">{}</a>{}'
    queued = last.status == "queued"
    words = _render_wait(last) if queued else render_time(last.began_at)
    return format_html(link, job.pk, build_link("runs:run", last.pk), words, _EMPTY if queued else _render_took(last))


def _render_wait(run: Any) -> SafeString:
    if run.not_before:
        words = f"{run.not_before:%Y-%m-%d %H:%M} UTC"
        return format_html('starts <time datetime="{}" data-until>{}</time>', run.not_before.isoformat(), words)
    return format_html('for <span data-since="{}"></span>', format_unix_ms(run.created_at))


def _render_took(run: Any) -> SafeString:
    if not run.started_at:
        return _EMPTY
    if run.is_live:
        clock = ' <span class="meta num">· <span data-clock="{}"></span></span>'
        return format_html(clock, format_unix_ms(run.started_at))
    return format_html(' <span class="meta num">· {}</span>', format_run_duration(run)) if run.finished_at else _EMPTY


@register.simple_tag(takes_context=True, name="pin_button")
def render_pin_button(context: Context, job: Any, is_pinned: bool, back: str) -> SafeString:
    return format_html(
        _PIN,
        build_link("jobs:pin", job.slug),
        _CSRF.render(context),
        job.pk,
        back,
        "off" if is_pinned else "on",
        "true" if is_pinned else "false",
        render_text_line(job.name),
        "Pinned. Press to unpin." if is_pinned else "Pin: keep this job at hand",
        render_icon("pin", "i-s"),
    )


@register.simple_tag(takes_context=True, name="run_button")
def render_run_button(context: Context, job: Any) -> SafeString:
    csrf, name = _CSRF.render(context), render_text_line(job.name)
    return format_html(_RUN, build_link("runs:launch", job.slug), csrf, job.pk, name, render_icon("player-play", "i-s"))
