"""The part of *Run with…* that is made from the job's schema: one field a property, or JSON."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

from django.core.exceptions import ValidationError
from django.http import QueryDict

from cronium_admin.accounts.models import User
from cronium_admin.core.json_text import format_exact
from cronium_admin.inputs.fields import Choices, Field, InputSchema, Kind, Option, format_plain
from cronium_admin.inputs.form_values import (
    describe_value,
    format_field,
    iterate_files,
    parse_fields,
)
from cronium_admin.inputs.problems import Problem
from cronium_admin.inputs.value_check import add_defaults, is_datetime
from cronium_admin.jobs.forms import parse_json
from cronium_admin.jobs.input_schema import get_input_schema
from cronium_admin.jobs.models import Job
from cronium_admin.runs.input_sources import InputSources
from cronium_admin.runs.models import Run
from cronium_admin.runs.zone_times import format_field as format_zone_field
from cronium_admin.runs.zone_times import parse_field

MAX_CHECKS = 12  # choices that are shown as check boxes; more are a list


@dataclass(frozen=True)
class FieldView:
    """A field as the template shows it."""

    field: Field
    value: Any
    text: str
    choices: Choices
    errors: Sequence[str] = ()
    mark: str = ""  # how the value differs
    was: str = ""  # the text that it is compared with while it is edited
    file: tuple[str, int, str] | None = None  # name, bytes, and the JSON of a file that was sent before

    @property
    def name(self) -> str:
        return self.field.name

    @property
    def kind(self) -> str:
        return self.field.kind.value

    @property
    def selected(self) -> list[str]:
        return [format_plain(item) for item in self.value] if isinstance(self.value, list) else [self.text]

    @property
    def options(self) -> list[tuple[str, str, bool]]:
        """Value, title and whether it is chosen. A value that is not allowed any more stays visible."""
        options = [(format_plain(option.value), option.title) for option in self.choices.options]
        known = {value for value, _ in options}
        options += [(text, f"{text} (not a choice)") for text in self.selected if text and text not in known]
        return [(value, title, value in self.selected) for value, title in options]

    @property
    def is_long(self) -> bool:
        return len(self.choices.options) > MAX_CHECKS

    @property
    def empty_title(self) -> str:
        return "Choose…" if self.field.is_required else "–"

    @property
    def max_kb(self) -> int:
        return self.field.file_bytes // 1024

    @property
    def instant(self) -> str:
        """Of a time that was read: itself, which the browser shows in its own time zone."""
        return self.text if is_datetime(self.text) else ""

    @property
    def local_text(self) -> str:
        """The value of a field for local times, in UTC; of a text that was not read: the text."""
        if not self.instant:
            return self.text
        return format_zone_field(datetime.fromisoformat(self.text.upper()), "UTC")

    @property
    def bounds(self) -> str:
        """The limits of a number in words."""
        schema = self.field.item_schema
        low, high = schema.get("minimum"), schema.get("maximum")
        if low is not None and high is not None:
            return f"{low} to {high}"
        return f"{low} or more" if low is not None else f"{high} at most" if high is not None else ""


@dataclass
class InputForm:
    """What the template needs. `source` is the run whose input fills the form."""

    job: Job
    schema: InputSchema | None
    value: Any = None
    is_json: bool = False
    json_text: str = ""
    other_text: str = ""
    source: Run | None = None
    source_problem: str = ""
    problems: list[Problem] = field(default_factory=list)
    typed: dict[str, str] = field(default_factory=dict)
    sources: InputSources | None = None

    @property
    def base(self) -> Any:
        """What a launch without an input gets."""
        return add_defaults(self.schema, self.job.input) if self.schema else self.job.input

    @cached_property
    def views(self) -> list[FieldView]:
        if self.schema is None or self.is_json:
            return []
        value = self.value if isinstance(self.value, dict) else {}
        base = self.base if isinstance(self.base, dict) else {}
        before = _get_input(self.source)
        files = {each.name: (name, size) for each, name, size in iterate_files(self.schema, value)}
        return [self._build_view(each, value, base, before, files) for each in self.schema.fields]

    def _build_view(
        self,
        each: Field,
        value: Mapping[str, Any],
        base: Mapping[str, Any],
        before: Mapping[str, Any] | None,
        files: Mapping[str, tuple[str, int]],
    ) -> FieldView:
        own = value.get(each.name)
        assert self.sources is not None
        needs_choices = each.has_choices or each.kind is Kind.SECRET
        compared = base if before is None else before
        return FieldView(
            field=each,
            value=own,
            text=self.typed.get(each.name, format_field(each, own)),
            choices=self.sources.resolve(each, value) if needs_choices else Choices(),
            errors=[problem.text for problem in self.problems if problem.path.split(".")[0] == each.name],
            mark=self._find_mark(each, own, base, before),
            was=describe_value(each, compared.get(each.name)),
            file=(*files[each.name], format_exact(own)) if each.name in files else None,
        )

    def _find_mark(self, each: Field, own: Any, base: Mapping[str, Any], before: Mapping[str, Any] | None) -> str:
        if before is not None and not _is_equal(each, own, before.get(each.name)):
            assert self.source is not None
            return f"Run #{self.source.number} had: {describe_value(each, before.get(each.name))}"
        if not _is_equal(each, own, base.get(each.name)):
            return f"Default: {describe_value(each, base.get(each.name))}"
        return ""

    @property
    def difference_count(self) -> int:
        return sum(1 for view in self.views if view.mark)

    @property
    def has_own_other_values(self) -> bool:
        """Whether the values that the schema does not declare differ from the defaults."""
        return self.other_text.strip() != _format_other(self.schema, self.base)

    @property
    def own_errors(self) -> list[str]:
        """Problems that belong to no field of the form."""
        known = self.schema.by_name if self.schema and not self.is_json else {}
        return [str(problem) for problem in self.problems if problem.path.split(".")[0] not in known]


def _is_equal(each: Field, one: Any, other: Any) -> bool:
    empty: tuple[Any, ...] = (None, "", [])
    if each.kind is Kind.BOOLEAN:
        return bool(one) == bool(other)
    return (one in empty and other in empty) or format_exact(one) == format_exact(other)


def _get_input(run: Run | None) -> Mapping[str, Any] | None:
    return run.input if run is not None and isinstance(run.input, dict) else None


def find_source(job: Job, text: str) -> tuple[Run | None, str]:
    """The run that fills the form: `last`, or a number; and why there is none."""
    runs = job.runs.select_related("revision").order_by("-created_at", "-id")
    if text == "last":
        run = runs.first()
        return run, "" if run else "This job has no run yet."
    if not text:
        return None, ""
    number = text.strip().removeprefix("#")
    run = runs.filter(number=int(number)).first() if number.isdecimal() and len(number) < 10 else None
    return run, "" if run else f"This job has no run {text[:20]!r}."


def open_form(job: Job, by: User, source: str = "", *, is_json: bool = False) -> InputForm:
    """The form as it is opened: filled with the job's own input, or with that of a run."""
    schema = get_input_schema(job)
    run, problem = find_source(job, source)
    form = InputForm(job, schema, is_json=is_json or schema is None, source=run, source_problem=problem)
    form.sources = InputSources(job, by)
    form.value = form.base if run is None else run.input
    if run is not None and schema is not None and not isinstance(run.input, dict) and not form.is_json:
        form.source_problem = f"The input of run #{run.number} is not an object, so that it can't fill the fields."
        form.value = form.base
    if form.is_json and (schema is not None or run is not None):
        form.json_text = "" if form.value is None else _format(form.value)
    form.other_text = _format_other(schema, form.value)
    return form


def read_form(job: Job, by: User, data: QueryDict, files: Mapping[str, Any]) -> InputForm:
    """The form as it was sent. `problems` has what could not be read; the launch checks the values."""
    schema = get_input_schema(job)
    run, problem = find_source(job, data.get("filled_from", ""))
    form = InputForm(job, schema, source=run, source_problem=problem, sources=InputSources(job, by))
    form.is_json = schema is None or data.get("as") != "fields"
    if form.is_json:
        form.json_text = data.get("input", "")
        try:
            form.value = parse_json(form.json_text) if form.json_text.strip() else form.base
        except ValidationError as error:
            form.problems = [Problem("", text) for text in error.messages]
        form.other_text = _format_other(schema, form.value)
        return form
    assert schema is not None
    zone = data.get("start_zone") or "UTC"
    parsed = parse_fields(schema, data, files, lambda text: parse_field(text, zone))
    form.value, form.problems, form.typed = parsed.value, parsed.problems, parsed.typed
    form.other_text = data.get("other", "")
    _add_other(form)
    return form


def switch_form(form: InputForm, *, to_json: bool) -> None:
    """Shows the same values as JSON, or as fields."""
    if form.schema is None or form.is_json == to_json or (form.is_json and form.problems):
        return
    if to_json:
        form.json_text = _format(form.value)
    elif not isinstance(form.value, dict):
        form.problems = [Problem("", "Only an object can be shown as fields.")]
        return
    form.is_json, form.problems = to_json, []


def _add_other(form: InputForm) -> None:
    if not form.other_text.strip():
        return
    try:
        other = parse_json(form.other_text)
    except ValidationError as error:
        form.problems += [Problem("", f"Other values: {text}") for text in error.messages]
        return
    if not isinstance(other, dict):
        form.problems.append(Problem("", "Other values: Must be an object."))
        return
    form.value = {**other, **form.value}


def _format_other(schema: InputSchema | None, value: Any) -> str:
    """The values that the schema does not declare, as JSON; empty if there are none."""
    if schema is None or not isinstance(value, dict):
        return ""
    other = {name: part for name, part in value.items() if name not in schema.by_name}
    return _format(other) if other else ""


def _format(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


def list_recent_sources(job: Job) -> list[Option]:
    """The last runs, by number, for the field *Fill from run*."""
    # Without `job` each row would read it with a query of its own.
    runs = job.runs.only("job", "number", "status").order_by("-created_at", "-id")[:10]
    return [Option(run.number, run.get_status_display()) for run in runs]
