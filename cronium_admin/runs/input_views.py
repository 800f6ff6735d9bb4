"""The fields of a job's or schedule's input while it is edited: from the JSON of the form, and back to JSON."""

import json
from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import render
from django.views.decorators.http import require_POST

from cronium_admin.accounts.models import User
from cronium_admin.accounts.page_permissions import get_current_user, require_project_permission
from cronium_admin.accounts.permissions import Permission
from cronium_admin.accounts.projects import choose_project_id
from cronium_admin.core.json_text import format_exact
from cronium_admin.inputs.fields import InputSchema, Kind
from cronium_admin.inputs.form_values import ParsedFields, parse_fields
from cronium_admin.inputs.problems import Problem
from cronium_admin.inputs.schema_check import find_schema_problems
from cronium_admin.inputs.value_check import add_defaults, check_value
from cronium_admin.jobs.forms import parse_json
from cronium_admin.jobs.input_schema import get_input_schema
from cronium_admin.jobs.lookup import find_job
from cronium_admin.jobs.models import Job
from cronium_admin.jobs.validation import validate_input
from cronium_admin.runs.input_form import InputForm, find_source
from cronium_admin.runs.input_sources import InputSources
from cronium_admin.runs.models import Run
from cronium_admin.runs.zone_times import parse_field

_TEMPLATE = "runs/_typed_fields.html"


@require_POST
@require_project_permission(Permission.EDIT)
def render_input_fields(request: HttpRequest) -> HttpResponse:
    # Stores nothing. With `input_schema_text`: of a job in the editor, whose input may lack required fields; else of a
    # schedule, whose empty input is the job's. With `as` = fields, the answer has the JSON of the sent fields; with
    # `fill`, that of a run's input. `filled_from` is the run that filled the fields before.
    user, sent = get_current_user(request), request.POST
    is_editor = "input_schema_text" in sent
    job, schema_problems = _build_job(user, sent)
    source, text, context = _find_source(job, sent)
    if schema_problems:
        return render(request, _TEMPLATE, {**context, "schema_problems": schema_problems})
    schema = get_input_schema(job)
    if schema is None:
        return render(request, _TEMPLATE, {**context, "has_no_schema": True})
    try:
        before = _read_json(text)
    except ValidationError as error:
        return render(request, _TEMPLATE, {**context, "problem": error.messages[0]})
    if before is not None and not isinstance(before, dict):
        return render(request, _TEMPLATE, {**context, "problem": "Only an object can be shown as fields."})
    # The fields of a job that no run fills are compared with the defaults of the schema.
    job.input = before if is_editor and source is None else job.input
    form = InputForm(job, schema, source=source, sources=InputSources(job, user))
    form.value = add_defaults(schema, job.input if before is None else before)
    context |= {"job": job, "values": form, "in_place": True}
    if sent.get("as") == "fields":
        zone = sent.get("start_zone") or "UTC"
        parsed = parse_fields(schema, sent, request.FILES, lambda text: parse_field(text, zone))
        _take_fields(form, schema, parsed)
        try:
            validate_input(form.value)
        except ValidationError as error:
            return render(request, _TEMPLATE, {"problem": error.messages[0]})
        result = _build_result(schema, form.value, before or {})
        context["result"] = json.dumps(result, indent=2, ensure_ascii=False) if result or before is not None else ""
    form.problems += _list_problems(form, schema, is_partial=is_editor)
    if isinstance(form.value, dict):
        context["kept"] = [name for name in form.value if name not in schema.by_name] if schema.allows_other else []
    return render(request, _TEMPLATE, context)


def _find_source(job: Job, sent: QueryDict) -> tuple[Run | None, str, dict[str, Any]]:
    """The run that fills the fields, the JSON to show, and what the answer says of both."""
    source, problem = find_source(job, sent.get("fill", sent.get("filled_from", "")))
    if "fill" not in sent:
        return source, sent.get("input_text", ""), {}
    if source is None:
        return None, sent.get("input_text", ""), {"filled": problem}
    text = "" if source.input is None else json.dumps(source.input, indent=2, ensure_ascii=False)
    return source, text, {"filled": f"Filled from run #{source.number}.", "source": source, "result": text}


def _read_json(text: str) -> Any:
    # Values that can't be stored can't be shown either, such as half of a surrogate pair
    value = parse_json(text)
    validate_input(value)
    return value


def _build_job(user: User, sent: QueryDict) -> tuple[Job, list[Problem]]:
    """A job that is not stored, with the settings of the editor, and the problems of its schema."""
    if slug := sent.get("job", ""):
        job = find_job(user, slug, Permission.EDIT)
    else:
        # No job has this id: variables of jobs are read by it.
        job = Job(pk=0, project_id=choose_project_id(user, Permission.EDIT))
    if "input_schema_text" not in sent:
        return job, []
    job.secrets = sent.getlist("secrets")
    try:
        job.input_schema = _read_json(sent.get("input_schema_text", ""))
    except ValidationError as error:
        return job, [Problem("", text) for text in error.messages]
    return job, [] if job.input_schema is None else find_schema_problems(job.input_schema)


def _take_fields(form: InputForm, schema: InputSchema, parsed: ParsedFields) -> None:
    # A text that was not read stays in the JSON, so that it is not lost and saving it is refused.
    before = form.value if isinstance(form.value, dict) else {}
    other = {name: value for name, value in before.items() if name not in schema.by_name}
    form.problems, form.typed = parsed.problems, parsed.typed
    unread = {name: text for name, text in parsed.typed.items() if schema.by_name[name].kind is not Kind.FILE}
    form.value = {**other, **parsed.value, **unread}


def _build_result(schema: InputSchema, value: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    # In the order of the JSON before. Without what a launch adds itself, unless it was written already
    result = {}
    for name, part in {name: value[name] for name in [*before, *value] if name in value}.items():
        field = schema.by_name.get(name)
        is_added = field and field.has_default and format_exact(field.default) == format_exact(part)
        if name in before or not (is_added or part == []):
            result[name] = part
    return result


def _list_problems(form: InputForm, schema: InputSchema, *, is_partial: bool) -> list[Problem]:
    assert form.sources is not None
    unread = {problem.path for problem in form.problems}
    found = check_value(schema, form.value, form.sources.resolve, is_partial=is_partial)
    return [problem for problem in found if problem.path.split(".")[0] not in unread]
