"""Template filter `recent_sources`: the last runs of a job, whose input can fill a form. Makes one query."""

from django import template

from cronium_admin.runs.input_form import list_recent_sources

register = template.Library()
register.filter("recent_sources", list_recent_sources)
