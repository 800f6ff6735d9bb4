"""Template filter `launched_by`: who and what launched a run, in a few words. No query if the author is joined."""

from django import template

from cronium_admin.core.line_text import escape_line
from cronium_admin.runs.models import Run
from cronium_admin.runs.triggers import Trigger, name_trigger

register = template.Library()


@register.filter(name="launched_by")
def describe_launch(run: Run) -> str:
    """Such as "anna", "anna, over API" or "Schedule"."""
    name = escape_line(run.created_by.get_username()) if run.created_by else ""
    label = name_trigger(run.trigger)
    if run.trigger == Trigger.MANUAL:
        return name or label
    return f"{label}, {name}" if name else label
