"""Template filter `why_of`: why a run ended as it did, for the templates of all rooms above `core`."""

from django import template

from cronium_admin.runs.models import Run
from cronium_admin.runs.presentation.why import Why, explain_run

register = template.Library()


@register.filter("why_of")
def explain(run: Run) -> Why:
    return explain_run(run)
