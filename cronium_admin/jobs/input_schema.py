"""A job's setting `input_schema`: the JSON Schema of its input. null: any JSON."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from django.core.exceptions import ValidationError

from cronium_admin.inputs.fields import Choices, Field, InputSchema, Kind, make_choices, read_schema
from cronium_admin.inputs.problems import Problem, join_path
from cronium_admin.inputs.schema_check import find_schema_problems
from cronium_admin.inputs.value_check import add_defaults, check_value


class WithInput(Protocol):
    """The settings of a job that its input depends on."""

    input: Any
    input_schema: Any
    secrets: Any


def validate_input_schema(value: Any) -> None:
    """Raises ValidationError with one message per problem: its path in the schema, then the words."""
    if value is not None and (problems := find_schema_problems(value)):
        raise ValidationError([ValidationError(str(problem), code="schema") for problem in problems])


def get_input_schema(job: WithInput) -> InputSchema | None:
    """None: any JSON is allowed."""
    return None if job.input_schema is None else read_schema(job.input_schema)


def list_secret_choices(field: Field, secrets: Sequence[str]) -> Choices:
    """The secrets of the job that the field may name."""
    listed = [option.value for option in field.static_choices.options]
    return make_choices([name for name in listed or secrets if name in secrets])


def find_schema_conflicts(job: WithInput, given: Mapping[str, Any]) -> dict[str, list[str]]:
    """Problems by setting, of a job whose `input`, `input_schema` and `secrets` are each valid.

    The default input may lack required fields: then a launch must give them.
    """
    schema = get_input_schema(job)
    if schema is None:
        return {}
    problems: dict[str, list[str]] = {}
    for field in schema.fields:
        if field.kind is Kind.SECRET and (missing := _list_missing_secrets(field, job.secrets)):
            setting = "input_schema" if "input_schema" in given else "secrets"
            path = join_path("properties", field.name, "enum")
            text = f"{path}: The job does not have the secret {missing[0]}. Add it to the job's secrets."
            problems.setdefault(setting, []).append(text)
    if job.input is not None:
        found: list[Problem] = check_value(schema, job.input, is_partial=True)
        if found:
            problems["input"] = [f"Does not fit the schema of the input: {problem}" for problem in found]
    return problems


def _list_missing_secrets(field: Field, secrets: Sequence[str]) -> list[str]:
    return [option.value for option in field.static_choices.options if option.value not in secrets]


def list_failing_schedules(job: Any) -> list[str]:
    """The job's enabled schedules whose input does not fit its schema, each with the first problem."""
    schema = get_input_schema(job)
    if schema is None:
        return []
    failing = []
    for name, own in job.schedules.filter(enabled=True).order_by("name").values_list("name", "input"):
        value = add_defaults(schema, job.input if own is None else own)
        if problems := check_value(schema, value):
            failing.append(f"{name}: {problems[0]}")
    return failing
