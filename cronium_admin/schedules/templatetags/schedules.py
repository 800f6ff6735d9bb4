"""Template tags of the pages of schedules. Makes no database query."""

from datetime import UTC, datetime

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from cronium_admin.runs.zone_times import format_zoned, get_zone_info
from cronium_admin.schedules.models import Schedule
from cronium_admin.schedules.policy_words import describe_missed

register = template.Library()


@register.simple_tag(name="zoned")
def render_zoned_time(at: datetime | None, zone: str, bare: bool = False) -> SafeString | str:
    # `bare`: without the zone, for a column that names it
    if at is None:
        return ""
    text = format_zoned(at, zone)
    return format_html('<time datetime="{}">{}</time>', at.isoformat(), text.rpartition(" ")[0] if bare else text)


@register.simple_tag(name="zoned_clock")
def render_zoned_clock(at: datetime, zone: str) -> SafeString:
    # As "02:30 CET", for a row below its day
    local = at.astimezone(get_zone_info(zone))
    text, zone_name = local.strftime("%H:%M:%S" if local.second else "%H:%M"), local.strftime("%Z")
    return format_html('<time datetime="{}">{} <span class="dim">{}</span></time>', at.isoformat(), text, zone_name)


@register.simple_tag(name="zoned_end")
def render_zoned_end(first: datetime, last: datetime, zone: str) -> SafeString | str:
    # The end of a range: without its day, if that is the day of the first
    info = get_zone_info(zone)
    is_same_day = first.astimezone(info).date() == last.astimezone(info).date()
    return render_zoned_clock(last, zone) if is_same_day else render_zoned_time(last, zone)


@register.simple_tag(name="zoned_instant")
def render_zoned_instant(at: int, zone: str) -> SafeString | str:
    return render_zoned_time(datetime.fromtimestamp(at, UTC), zone)


@register.simple_tag(name="reader_time")
def render_reader_time(at: datetime) -> SafeString:
    # The page's script replaces the text by the time in the reader's zone.
    return format_html('<time datetime="{}" data-local>{}</time>', at.isoformat(), format_zoned(at, "UTC"))


@register.simple_tag(name="until")
def render_distance(at: datetime | None) -> SafeString | str:
    # The page's script writes "in 5 min". Without it, the absolute time beside it says enough.
    return "" if at is None else format_html('<time datetime="{}" data-until></time>', at.isoformat())


@register.filter(name="missed_policy")
def render_missed_policy(schedule: Schedule) -> str:
    return describe_missed(schedule)


@register.filter(name="note_words")
def capitalize_note(note: str) -> str:
    return note[:1].upper() + note[1:]
