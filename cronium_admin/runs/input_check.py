"""The check of a run's input against the schema of its job. Every launch passes it: see `snapshot` and `rerun`."""

from typing import Any

from django.core.exceptions import ValidationError

from cronium_admin.accounts.models import User
from cronium_admin.inputs.problems import Problem
from cronium_admin.inputs.value_check import add_defaults, check_value
from cronium_admin.jobs.input_schema import get_input_schema
from cronium_admin.jobs.models import Job
from cronium_admin.jobs.validation import validate_input
from cronium_admin.runs.input_sources import InputSources

CHANGE_HINT = "Run it again with changes."


def complete_input(job: Job, value: Any) -> Any:
    """The input of a run: `value`, with the default of each field that it does not have."""
    schema = get_input_schema(job)
    return value if schema is None else add_defaults(schema, value)


def check_input(job: Job, value: Any, by: User | None, *, with_data: bool = True) -> list[Problem]:
    """The problems of an input that `complete_input` has completed; none without a schema.

    `by` is the launcher, None: the project. `with_data` also checks choices that come from a variable or a job's
    output, as they are now.
    """
    try:
        validate_input(value)
    except ValidationError as error:
        return [Problem("", text) for text in error.messages]
    schema = get_input_schema(job)
    if schema is None:
        return []
    return check_value(schema, value, InputSources(job, by).resolve if with_data else None)


def collect_input_errors(problems: list[Problem]) -> dict[str, list[str]]:
    """Texts by field of a launch: `input`, or `input.` and the path."""
    errors: dict[str, list[str]] = {}
    for problem in problems:
        errors.setdefault(f"input.{problem.path}" if problem.path else "input", []).append(problem.text)
    return errors


def check_rerun_input(job: Job, value: Any, by: User | None) -> None:
    """Raises ValidationError if the input of an earlier run does not fit the job's schema of today."""
    if job.input_schema is None:
        return
    if problems := check_input(job, complete_input(job, value), by):
        errors = collect_input_errors(problems)
        raise ValidationError({name: [f"{text} {CHANGE_HINT}" for text in texts] for name, texts in errors.items()})
