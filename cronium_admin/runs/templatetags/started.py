"""Template filter `started_by`: who and what launched a run, in a few words. Makes no query if the author is joined."""

from django import template

from cronium_admin.core.line_text import escape_line
from cronium_admin.runs.models import Run
from cronium_admin.runs.triggers import Trigger

register = template.Library()


@register.filter(name="started_by")
def describe_start(run: Run) -> str:
    """Such as "anna", "anna, over API" or "Schedule"."""
    name = escape_line(run.created_by.get_username()) if run.created_by else ""
    label = str(Trigger(run.trigger).label) if run.trigger in Trigger.values else run.trigger
    if run.trigger == Trigger.MANUAL:
        return name or label
    return f"{label}, {name}" if name else label
