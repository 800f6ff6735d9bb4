"""The one validator of inputs: an input against a schema, with the path and the words of each problem."""

import base64
import binascii
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime
from fractions import Fraction
from itertools import islice
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError as SchemaError
from jsonschema.validators import extend

from cronium_admin.inputs.fields import EXTENSION, Choices, Field, InputSchema, Kind, Resolver
from cronium_admin.inputs.patterns import has_match
from cronium_admin.inputs.problems import Problem, join_path, list_values, show_value

MAX_ITEMS = 1000  # of a list
MAX_PROBLEMS = 50  # of one input
MAX_NUMBER = 1e300  # larger ones can't be compared with fractions
_PER_FIELD = 5
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)
_TYPES = {
    "string": "a text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "an object",
}


def is_date(text: str) -> bool:
    try:
        return bool(_DATE.fullmatch(text)) and bool(date.fromisoformat(text))
    except ValueError:
        return False


def is_datetime(text: str) -> bool:
    try:
        return bool(_TIME.fullmatch(text)) and bool(datetime.fromisoformat(text.upper()))
    except ValueError:
        return False


def _match_pattern(_: Any, pattern: str, value: Any, __: Any) -> Iterator[SchemaError]:
    if isinstance(value, str) and not has_match(pattern, value):
        yield SchemaError("does not match")


def _match_format(_: Any, name: str, value: Any, __: Any) -> Iterator[SchemaError]:
    if isinstance(value, str) and not {"date": is_date, "date-time": is_datetime}[name](value):
        yield SchemaError("is not of the format")


def _match_multiple(_: Any, step: Any, value: Any, __: Any) -> Iterator[SchemaError]:
    # By their decimal digits: as binary fractions, 0.3 is no multiple of 0.1
    if isinstance(value, int | float) and not isinstance(value, bool) and Fraction(repr(value)) % Fraction(repr(step)):
        yield SchemaError("is not a multiple")


_RULES = {"pattern": _match_pattern, "format": _match_format, "multipleOf": _match_multiple}
_Validator: Any = extend(Draft202012Validator, _RULES)


def check_value(
    schema: InputSchema, value: Any, resolve: Resolver | None = None, *, is_partial: bool = False
) -> list[Problem]:
    """The problems of `value`, of which each path begins with the name of a field.

    Without `resolve`, choices that come from data are not checked. `is_partial`: required fields may be missing.
    """
    if not isinstance(value, dict):
        return [Problem("", f"Must be an object with the fields of the schema, not {show_value(value)}.")]
    problems = []
    for field in schema.fields:
        if field.name in value:
            problems += check_field(field, value[field.name], value, resolve)
        elif field.is_required and not is_partial:
            problems.append(Problem(field.name, f"Required: {describe_allowed(field)}."))
    if not schema.allows_other:
        known = list_values(schema.by_name) or "none"
        unknown = [str(name) for name in value if name not in schema.by_name]
        text = f"There is no such field. The fields are: {known}."
        problems += [Problem(join_path(name), text) for name in unknown[:_PER_FIELD]]
    return problems[:MAX_PROBLEMS]


def check_field(
    field: Field, value: Any, whole: Mapping[str, Any] | None = None, resolve: Resolver | None = None
) -> list[Problem]:
    """The problems of one field's value. `whole` is the input, for choices that depend on another field."""
    if field.kind is Kind.FILE:
        return _check_file(field, value)
    if any(_is_too_large(item) for item in (value if isinstance(value, list) else [value])[: MAX_ITEMS + 1]):
        return [Problem(field.name, "A number is too large; at most 1e300 is allowed.")]
    problems = _list_problems(field, value)
    if problems or resolve is None or not (field.source or field.kind is Kind.SECRET):
        return problems
    return _check_choices(field, value, resolve(field, whole or {}))


def _is_too_large(value: Any) -> bool:
    return isinstance(value, int | float) and abs(value) > MAX_NUMBER


def _list_problems(field: Field, value: Any) -> list[Problem]:
    """At most one for each path: the first, but a wrong type before all others."""
    by_path: dict[str, tuple[bool, Problem]] = {}
    for error in islice(_Validator(_make_standard(field)).iter_errors(value), _PER_FIELD):
        problem, is_type = _describe(field, error), error.validator == "type"
        if problem.path not in by_path or (is_type and not by_path[problem.path][0]):
            by_path[problem.path] = (is_type, problem)
    return [problem for _, problem in by_path.values()]


def _make_standard(field: Field) -> dict[str, Any]:
    standard = {name: part for name, part in field.schema.items() if name not in (EXTENSION, "default")}
    if field.schema.get("type") == "array":
        standard["maxItems"] = min(standard.get("maxItems", MAX_ITEMS), MAX_ITEMS)
    return standard


def _check_choices(field: Field, value: Any, choices: Choices) -> list[Problem]:
    if choices.problem:
        return [Problem(field.name, f"The allowed values are not known: {choices.problem}")]
    items = list(enumerate(value)) if isinstance(value, list) else [("", value)]
    refused = [(index, item) for index, item in items if item not in choices]
    allowed = list_values(option.value for option in choices.options)
    says = f"Allowed: {allowed}." if allowed else "No value is allowed."
    where = f" ({choices.source})" if choices.source else ""
    return [
        Problem(join_path(field.name, index), f"{show_value(item)} is not one of the choices{where}. {says}")
        for index, item in refused[:_PER_FIELD]
    ]


def _describe(field: Field, error: SchemaError) -> Problem:
    # `oneOf` reports one error for the whole; its context repeats the choices
    schema: Mapping[str, Any] = error.schema if isinstance(error.schema, Mapping) else {}
    return Problem(join_path(field.name, *error.absolute_path), _describe_keyword(error, schema))


def _describe_keyword(error: SchemaError, schema: Mapping[str, Any]) -> str:
    value, limit, keyword = error.instance, error.validator_value, str(error.validator)
    if keyword == "type":
        return f"Must be {_TYPES.get(str(limit), str(limit))}, not {show_value(value)}."
    if keyword in ("enum", "oneOf"):
        allowed = limit if keyword == "enum" else [each.get("const") for each in limit]
        return f"{show_value(value)} is not one of the choices. Allowed: {list_values(allowed)}."
    if keyword == "format":
        return f"{show_value(value)} is not {_FORMAT_WORDS[str(limit)]}."
    if keyword == "pattern":
        return f"{show_value(value)} does not match the pattern {str(limit)[:100]}."
    return _describe_bound(keyword, value, limit)


_FORMAT_WORDS = {
    "date": "a date such as 2027-03-28",
    "date-time": "a time such as 2027-03-28T09:00:00Z or 2027-03-28T09:00:00+02:00",
}


def _describe_bound(keyword: str, value: Any, limit: Any) -> str:
    size = len(value) if isinstance(value, str | list) else value
    return {
        "minimum": f"{limit} or more; this is {show_value(size)}.",
        "maximum": f"{limit} at most; this is {show_value(size)}.",
        "exclusiveMinimum": f"Must be more than {limit}; this is {show_value(size)}.",
        "exclusiveMaximum": f"Must be less than {limit}; this is {show_value(size)}.",
        "multipleOf": f"Must be a multiple of {limit}; this is {show_value(size)}.",
        "minLength": f"{limit} characters or more; this has {size}.",
        "maxLength": f"{limit} characters at most; this has {size}.",
        "minItems": f"Choose {limit} or more; these are {size}.",
        "maxItems": f"{limit} at most; these are {size}.",
        "uniqueItems": "A value is listed twice.",
    }.get(keyword, f"Does not fit the schema ({keyword}).")


def describe_allowed(field: Field) -> str:
    """What the field takes, for a sentence."""
    if field.kind is Kind.FILE:
        return f"a file of at most {field.file_bytes // 1024} KB"
    if field.kind is Kind.SECRET:
        return "the name of a secret"
    if field.static_choices.options:
        many = "some of " if field.kind is Kind.MULTI else "one of "
        return many + list_values(option.value for option in field.static_choices.options)
    if field.kind in (Kind.DATE, Kind.DATETIME):
        return _FORMAT_WORDS[str(field.schema["format"])]
    return _TYPES[str(field.schema.get("type"))]


def _check_file(field: Field, value: Any) -> list[Problem]:
    form = field.file_form
    example = f'Must be an object such as {{"name": "data.csv", "{form}": "..."}}'
    if not isinstance(value, dict):
        return [Problem(field.name, f"{example}, not {show_value(value)}.")]
    if unknown := [str(name)[:40] for name in value if name not in ("name", form)]:
        return [Problem(join_path(field.name, unknown[0]), f"There is no such key. {example}.")]
    for key in ("name", form):
        if not isinstance(value.get(key), str):
            return [Problem(join_path(field.name, key), f"Must be a text. {example}.")]
    return list(_list_file_problems(field, value["name"], value[form]))


def _list_file_problems(field: Field, name: str, content: str) -> Iterator[Problem]:
    if not 0 < len(name) <= 255 or any(character in "/\\" or ord(character) < 32 for character in name):
        yield Problem(join_path(field.name, "name"), "Must be a file's name of 1 to 255 characters, without a folder.")
    elif field.file_accept and not name.lower().endswith(tuple(end.lower() for end in field.file_accept)):
        yield Problem(join_path(field.name, "name"), f"The name must end with {list_values(field.file_accept)}.")
    try:
        size = measure_file(field.file_form, content)
    except ValueError:
        yield Problem(join_path(field.name, field.file_form), "Is not base64.")
        return
    if size > field.file_bytes:
        text = f"The file has {size:,} bytes; at most {field.file_bytes:,} are allowed."
        yield Problem(field.name, text)


def measure_file(form: str, content: str) -> int:
    """Bytes of the file. Raises ValueError for text that is not base64."""
    if form == "text":
        return len(content.encode("utf-8", "replace"))
    try:
        return len(base64.b64decode(content, validate=True))
    except binascii.Error as error:
        raise ValueError(str(error)) from error


def add_defaults(schema: InputSchema, value: Any) -> Any:
    """The input with the default of each field that it does not have. null counts as an object without fields."""
    if value is None:
        value = {}
    if not isinstance(value, dict):
        return value
    missing = {field.name: field.default for field in schema.fields if field.has_default and field.name not in value}
    return {**value, **missing} if missing else value


def list_texts(problems: Iterable[Problem]) -> list[str]:
    return [str(problem) for problem in problems]
