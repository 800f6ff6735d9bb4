"""The choices of input fields that come from data: a variable, or the last output of another job.

Variables belong to a higher room, so their rows are read through Django's app registry, here only. Nothing is launched.
"""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.apps import apps

from cronium_admin.accounts.models import User
from cronium_admin.accounts.permissions import Permission, can
from cronium_admin.core.database.clock import database_now
from cronium_admin.inputs.fields import Choices, Field, Kind, format_plain, make_choices
from cronium_admin.inputs.schema_check import is_of_type
from cronium_admin.jobs.input_schema import list_secret_choices
from cronium_admin.jobs.models import Job
from cronium_admin.runs.models import Run, Status
from cronium_admin.runs.triggers import Trigger

MAX_CHOICES = 1000
SHARED = "shared/"


class _NoData(Exception):
    """The text says in words why there are no choices."""


class InputSources:
    """Reads the choices of a job's fields, each source once. `by` is the launcher; None: the project launches."""

    def __init__(self, job: Job, by: User | None) -> None:
        self._job, self._by = job, by
        self._read: dict[tuple[str, str], tuple[Any, datetime, str]] = {}

    def resolve(self, field: Field, given: Mapping[str, Any]) -> Choices:
        """The choices of `field`; of one that depends on another field, those for the value of that in `given`."""
        if field.kind is Kind.SECRET:
            return list_secret_choices(field, self._job.secrets)
        source = field.source
        if source is None:
            return field.static_choices
        words, at = "", None
        try:
            if "cases" in source:
                data: Any = source["cases"]
            else:
                data, at, words = self._read_source(source)
                data = _follow_path(data, str(source.get("path", "")), words)
            if field.depends_on:
                data, words = self._choose_case(data, field, given, words)
            return Choices(_make_options(data, field, words).options, at, words)
        except _NoData as error:
            return Choices(at=at, source=words, problem=str(error))

    def _read_source(self, source: Mapping[str, Any]) -> tuple[Any, datetime, str]:
        kind = "variable" if "variable" in source else "job"
        key = (kind, str(source[kind]))
        if key not in self._read:
            self._read[key] = self._read_variable(key[1]) if kind == "variable" else self._read_output(key[1])
        return self._read[key]

    def _read_variable(self, name: str) -> tuple[Any, datetime, str]:
        rows: Any = apps.get_model("runtime", "Variable")._default_manager
        owner: dict[str, Any] = {"job": self._job.pk}
        if name.startswith(SHARED):
            owner = {"job__isnull": True, "project": self._job.project_id}
        row = rows.filter(name=name.removeprefix(SHARED), text__isnull=False, **owner).only("text", "changed_at")
        variable = row.first()
        if variable is None:
            raise _NoData(f"the variable {name} has no value.")
        return json.loads(variable.text), variable.changed_at, f"from the variable {name}"

    def _read_output(self, slug: str) -> tuple[Any, datetime, str]:
        job = Job.objects.filter(project=self._job.project_id, slug=slug).only("pk", "project").first()
        if job is None or (self._by is not None and not can(self._by, Permission.VIEW, job)):
            raise _NoData(f"this project has no job {slug}.")
        runs = Run.objects.filter(job=job, status=Status.SUCCEEDED, output_at__isnull=False)
        runs = runs.exclude(trigger=Trigger.TRY)
        run = runs.only("number", "output", "finished_at", "output_at").order_by("-created_at", "-id").first()
        if run is None:
            raise _NoData(f"no run of the job {slug} has succeeded with an output yet.")
        return run.output, run.finished_at or database_now(), f"from {slug} #{run.number}"

    def _choose_case(self, data: Any, field: Field, given: Mapping[str, Any], words: str) -> tuple[Any, str]:
        parent = field.depends_on
        if given.get(parent) in (None, ""):
            raise _NoData(f"choose {parent} first.")
        value = format_plain(given[parent])
        if not isinstance(data, dict):
            raise _NoData(f"the data {words} is not an object with a list for each {parent}.")
        return data.get(value, []), f"{words}, for {parent} {value[:40]}".removeprefix(", ")


def _follow_path(data: Any, path: str, words: str) -> Any:
    for key in path.split(".") if path else ():
        if not isinstance(data, dict) or key not in data:
            raise _NoData(f"the data {words} has no {path}.")
        data = data[key]
    return data


def _make_options(data: Any, field: Field, words: str) -> Choices:
    if not isinstance(data, list):
        raise _NoData(f"the data {words} is not a list.".replace("  ", " "))
    if len(data) > MAX_CHOICES:
        raise _NoData(f"the list {words} has {len(data):,} choices; at most {MAX_CHOICES:,} are shown.")
    choices = make_choices(data)
    if wrong := [option for option in choices.options if not is_of_type(option.value, field.item_type)]:
        raise _NoData(f"the list {words} has {format_plain(wrong[0].value)[:40]!r}, which is not a {field.item_type}.")
    return choices
