"""The declared values of a run's input: short, in lists of runs, and as rows, for the filter `input.NAME`."""

from collections.abc import Mapping
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


def read_input_filters(parameters: QueryDict) -> dict[str, str]:
    """The values of `input.NAME=VALUE` and `input=NAME=VALUE`, by name, of the parameters of a request.

    Raises ApiError 422 for too many.
    """
    wanted = {}
    for name, given in parameters.items():
        text = str(given)
        if name == "input":
            name, _, text = (part.strip() for part in text.partition("="))
        elif name.startswith(PREFIX):
            name = name.removeprefix(PREFIX)
        else:
            continue
        if name:
            wanted[name[:60]] = text[: RunInput.MAX_VALUE]
    if len(wanted) > MAX_FILTERS:
        text = f"At most {MAX_FILTERS} filters by input are allowed."
        raise ApiError(422, "invalid", f"input: {text}", {"input": [text]})
    return wanted


def build_query(wanted: Mapping[str, str]) -> dict[str, str]:
    """The parameters of `wanted` in an address."""
    return {f"{PREFIX}{name}": text for name, text in wanted.items()}


def filter_by_input(runs: "QuerySet[Run]", wanted: Mapping[str, str]) -> "QuerySet[Run]":
    """The runs whose declared fields have these values, as the lists show them."""
    for name, text in wanted.items():
        if "\0" in name + text:
            return runs.none()
        rows = RunInput.objects.filter(name=name, value=text)
        if rows[:FREQUENT].count() < FREQUENT:
            runs = runs.filter(pk__in=rows.values("run"))
        else:  # the newest runs are read until a page is full, instead of all runs that have the value
            runs = runs.filter(Exists(rows.filter(run=OuterRef("pk"))))
    return runs
