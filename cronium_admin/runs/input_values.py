"""The declared values of a run's input: short, in lists of runs, and as rows, for the filter `input.NAME`."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from django.db.models import Exists, OuterRef, QuerySet
from django.http import QueryDict

from cronium_admin.core.errors import ApiError
from cronium_admin.inputs.form_values import format_short
from cronium_admin.jobs.input_schema import get_input_schema
from cronium_admin.jobs.models import Job
from cronium_admin.runs.models import Run, RunInput

PREFIX = "input."  # of the filter's parameters
MAX_SUMMARY = 500  # characters
MAX_FILTERS = 5
FREQUENT = 2000  # runs with a value
_SHOWN = 40  # characters of one value in the summary


def list_input_values(job: Job, value: Any) -> dict[str, str]:
    """The short text of each declared field that the input has."""
    schema = get_input_schema(job)
    if schema is None or not isinstance(value, dict):
        return {}
    return {each.name: format_short(each, value[each.name]) for each in schema.fields if each.name in value}


def summarize_values(values: Mapping[str, str]) -> str | None:
    """As "region=eu · dry_run=true"; None without values."""
    parts = [f"{name}={text if len(text) <= _SHOWN else text[:_SHOWN] + '…'}" for name, text in values.items()]
    return " · ".join(parts)[:MAX_SUMMARY] or None


def store_input_values(run: Run, values: Mapping[str, str]) -> None:
    """Call it in the transaction that creates the run."""
    if values:
        length = RunInput.MAX_VALUE
        RunInput.objects.bulk_create(RunInput(run=run, name=name, value=text[:length]) for name, text in values.items())


def read_input_filters(parameters: QueryDict) -> tuple[tuple[str, str], ...]:
    """Name and value of each `input.NAME=VALUE` and `input=NAME=VALUE` of a request's parameters.

    Raises ApiError 422 for too many.
    """
    wanted = dict[tuple[str, str], None]()
    for parameter, given in [(parameter, str(text)) for parameter, texts in parameters.lists() for text in texts]:
        if parameter == "input":
            name, _, value = (part.strip() for part in given.partition("="))
        elif parameter.startswith(PREFIX):
            name, value = parameter.removeprefix(PREFIX), given
        else:
            continue
        if name:
            wanted[name[:60], value[: RunInput.MAX_VALUE]] = None
    if len(wanted) > MAX_FILTERS:
        text = f"At most {MAX_FILTERS} filters by input are allowed."
        raise ApiError(422, "invalid", f"input: {text}", {"input": [text]})
    return tuple(wanted)


def filter_by_input(runs: "QuerySet[Run]", wanted: Iterable[tuple[str, str]]) -> "QuerySet[Run]":
    """The runs of which each field that `wanted` names has one of its values, as the lists show them."""
    values = dict[str, list[str]]()
    for name, text in wanted:
        if "\0" in name + text:
            return runs.none()
        values.setdefault(name, []).append(text)
    for name, texts in values.items():
        rows = RunInput.objects.filter(name=name, value__in=texts)
        if rows[:FREQUENT].count() < FREQUENT:
            runs = runs.filter(pk__in=rows.values("run"))
        else:  # the newest runs are read until a page is full, instead of all runs that have the value
            newest = max(_find_newest(name, text) for text in texts)
            runs = runs.filter(Exists(rows.filter(run=OuterRef("pk"))), created_at__lte=newest)
    return runs


def _find_newest(name: str, text: str) -> datetime:
    # No run that was launched later has the value.
    rows = RunInput.objects.filter(name=name, value=text).order_by("-created_at").values_list("created_at", flat=True)
    return rows.first() or datetime.min.replace(tzinfo=UTC)
