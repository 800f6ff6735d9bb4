"""Checks a schema: the subset of JSON Schema 2020-12 that Cronium reads. See docs/input.md.

The walk visits only the places of the subset, so that the depth of a schema is bounded.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from cronium_admin.inputs.fields import EXTENSION, Field, read_schema
from cronium_admin.inputs.patterns import BadPattern, compile_pattern
from cronium_admin.inputs.problems import Problem, join_path, list_values, show_value
from cronium_admin.inputs.value_check import MAX_ITEMS, check_field

DIALECT = "https://json-schema.org/draft/2020-12/schema"
MAX_BYTES = 64 * 1024
MAX_FIELDS = 50
MAX_CHOICES = 500
MAX_FILE_KB = 256
MAX_FILES_KB = 512  # of all fields; base64 makes a third more, and an input has at most 1 MB
MAX_SHOWN_PROBLEMS = 20
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,59}")
_VARIABLE = re.compile(r"(shared/)?[A-Za-z0-9_.-]{1,128}")
_SLUG = re.compile(r"[A-Za-z0-9_-]{1,80}")
_TOP = ("$schema", "title", "description", "type", "properties", "required", "additionalProperties", EXTENSION)
_COMMON = ("type", "title", "description", "default", EXTENSION)
_NUMERIC = ("enum", "oneOf", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
_BY_TYPE: dict[str, tuple[str, ...]] = {
    "string": ("enum", "oneOf", "minLength", "maxLength", "pattern", "format"),
    "integer": _NUMERIC,
    "number": _NUMERIC,
    "boolean": (),
    "array": ("items", "minItems", "maxItems", "uniqueItems"),
    "object": (),
}
_EXTENSIONS: dict[str, tuple[str, ...]] = {
    "string": ("multiline", "secret", "choices"),
    "integer": ("choices",),
    "number": ("choices",),
    "boolean": (),
    "array": ("choices",),
    "object": ("file",),
}
_ITEM_TYPES = ("string", "integer", "number")
_FORMATS = ("date", "date-time")
_SOURCES = ("cases", "variable", "job")


def find_schema_problems(value: Any) -> list[Problem]:
    """The problems of a schema; none: `read_schema` reads it."""
    if not isinstance(value, dict):
        return [Problem("", f'Must be a JSON Schema such as {{"type": "object", ...}}, not {show_value(value)}.')]
    try:
        size = len(json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass"))
    except (ValueError, RecursionError):
        return [Problem("", "Is nested too deeply, or has a number that is not valid JSON.")]
    if size > MAX_BYTES:
        return [Problem("", f"Has {size:,} bytes; at most {MAX_BYTES:,} are allowed.")]
    problems = list(_check_top(value))
    if not problems:
        problems = list(_check_fields(value))
    return problems[:MAX_SHOWN_PROBLEMS]


def _check_top(value: Mapping[str, Any]) -> Iterator[Problem]:
    yield from _refuse_unknown("", value, _TOP, "a schema")
    if value.get("$schema", DIALECT) != DIALECT:
        yield Problem("$schema", f"Must be {DIALECT}, or omitted.")
    if value.get("type") != "object":
        yield Problem("type", 'Must be "object": an input is an object with a field for each value.')
    yield from _check_texts("", value)
    if not isinstance(value.get("additionalProperties", True), bool):
        yield Problem("additionalProperties", "Must be true or false.")
    properties = value.get("properties", {})
    if not isinstance(properties, dict):
        yield Problem("properties", "Must be an object with a schema for each field.")
        return
    if len(properties) > MAX_FIELDS:
        yield Problem("properties", f"{len(properties)} fields; at most {MAX_FIELDS} are allowed.")
    for key, names in (("required", value.get("required", [])), (f"{EXTENSION}.order", _read_order(value))):
        yield from _check_names(key, names, properties)


def _read_order(value: Mapping[str, Any]) -> Any:
    extension = value.get(EXTENSION, {})
    return extension.get("order", []) if isinstance(extension, dict) and extension.keys() <= {"order"} else None


def _check_names(path: str, names: Any, properties: Mapping[str, Any]) -> Iterator[Problem]:
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        yield Problem(path, "Must be a list of names of fields.")
        return
    for name in names:
        if name not in properties:
            yield Problem(path, f"{name[:60]!r} is not one of the properties: {list_values(properties) or 'none'}.")
    if len(set(names)) < len(names):
        yield Problem(path, "A name is listed twice.")


def _check_fields(value: Mapping[str, Any]) -> Iterator[Problem]:
    problems: list[Problem] = []
    for name, schema in value.get("properties", {}).items():
        path = join_path("properties", name)
        if not _NAME.fullmatch(name):
            text = "Use a name of up to 60 letters, digits, '_' and '-' that does not begin with a digit."
            problems.append(Problem(path, text))
        else:
            problems += _check_property(path, schema)
    yield from problems
    if problems:
        return
    fields = read_schema(value).fields
    for field in fields:
        yield from _check_whole_field(field, {each.name: each for each in fields})
    total = sum(field.file_bytes for field in fields if "file" in field.extension) // 1024
    if total > MAX_FILES_KB:
        yield Problem("properties", f"The files may have {total} KB in all; at most {MAX_FILES_KB} KB are allowed.")


def _check_property(path: str, schema: Any) -> Iterator[Problem]:
    if not isinstance(schema, dict):
        yield Problem(path, 'Must be a schema such as {"type": "string"}.')
        return
    of = schema.get("type")
    if not isinstance(of, str) or of not in _BY_TYPE:
        yield Problem(join_path(path, "type"), f"Must be one of {', '.join(_BY_TYPE)}.")
        return
    yield from _refuse_unknown(path, schema, (*_COMMON, *_BY_TYPE[of]), f"the type {of}")
    yield from _check_texts(path, schema)
    yield from _check_keywords(path, schema, of)
    if of == "array":
        yield from _check_items(path, schema)
    yield from _check_extension(path, schema, of)


def _check_items(path: str, schema: Mapping[str, Any]) -> Iterator[Problem]:
    items = schema.get("items")
    path = join_path(path, "items")
    if not isinstance(items, dict) or items.get("type") not in _ITEM_TYPES:
        yield Problem(path, f'Must be a schema such as {{"type": "string"}}, with one of {", ".join(_ITEM_TYPES)}.')
        return
    allowed = ("type", *_BY_TYPE[items["type"]])
    yield from _refuse_unknown(path, items, allowed, "items of a list")
    yield from _check_keywords(path, items, items["type"])


def _refuse_unknown(path: str, schema: Mapping[str, Any], known: tuple[str, ...], of: str) -> Iterator[Problem]:
    for key in schema:
        if key in ("$ref", "$dynamicRef"):
            yield Problem(join_path(path, key), "References are not allowed: write the schema itself here.")
        elif key not in known:
            yield Problem(join_path(path, key), f"Not a keyword for {of}. The keywords are: {', '.join(known)}.")


def _check_texts(path: str, schema: Mapping[str, Any]) -> Iterator[Problem]:
    for key, most in (("title", 100), ("description", 500)):
        text = schema.get(key, "")
        if not isinstance(text, str) or len(text) > most:
            yield Problem(join_path(path, key), f"Must be a text of at most {most} characters.")


def _check_keywords(path: str, schema: Mapping[str, Any], of: str) -> Iterator[Problem]:
    checks: dict[str, Callable[[Any], str]] = {
        **dict.fromkeys(("minLength", "maxLength", "minItems", "maxItems"), _find_count_problem),
        **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), _find_number_problem),
        "multipleOf": lambda step: _find_number_problem(step) or ("" if step > 0 else "Must be more than 0."),
        "uniqueItems": lambda flag: "" if isinstance(flag, bool) else "Must be true or false.",
        "format": lambda name: "" if name in _FORMATS else f"Must be one of {', '.join(_FORMATS)}.",
        "pattern": _find_pattern_problem,
        "enum": lambda values: _find_enum_problem(values, of),
        "oneOf": lambda items: _find_one_of_problem(items, of),
    }
    for key, check in checks.items():
        if key in schema and (text := check(schema[key])):
            yield Problem(join_path(path, key), text)
    if {"enum", "oneOf"} <= schema.keys():
        yield Problem(join_path(path, "oneOf"), "Use enum or oneOf, not both.")


def _find_count_problem(value: Any) -> str:
    is_count = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 1_048_576
    return "" if is_count else "Must be a whole number, 0 to 1,048,576."


def _find_number_problem(value: Any) -> str:
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= 1e15
    return "" if is_number else "Must be a number of at most 1e15."


def _find_pattern_problem(value: Any) -> str:
    if not isinstance(value, str):
        return "Must be a text."
    try:
        compile_pattern(value)
    except BadPattern as error:
        return f"Can't be used: {error}."
    return ""


def is_of_type(value: Any, of: str) -> bool:
    if of == "string":
        return isinstance(value, str)
    kinds: Any = int if of == "integer" else (int, float)
    return isinstance(value, kinds) and not isinstance(value, bool) and abs(value) <= 1e15


def _find_enum_problem(values: Any, of: str) -> str:
    if not isinstance(values, list) or not values:
        return "Must be a list of choices."
    if len(values) > MAX_CHOICES:
        return f"{len(values):,} choices; at most {MAX_CHOICES} are allowed."
    if wrong := [value for value in values if not is_of_type(value, of)]:
        return f"{show_value(wrong[0])} is not of the type {of}."
    if twice := [value for index, value in enumerate(values) if value in values[:index]]:
        return f"{show_value(twice[0])} is listed twice."
    return "A choice must not be empty." if "" in values else ""


def _find_one_of_problem(items: Any, of: str) -> str:
    example = '[{"const": "eu", "title": "Europe"}]'
    if not isinstance(items, list) or not all(
        isinstance(item, dict) and "const" in item and item.keys() <= {"const", "title"} for item in items
    ):
        return f"Must be a list such as {example}."
    if not all(isinstance(item.get("title", ""), str) and len(item.get("title", "")) <= 100 for item in items):
        return "A title must be a text of at most 100 characters."
    return _find_enum_problem([item["const"] for item in items], of)


def _check_extension(path: str, schema: Mapping[str, Any], of: str) -> Iterator[Problem]:
    own = schema.get(EXTENSION, {})
    path = join_path(path, EXTENSION)
    if not isinstance(own, dict):
        yield Problem(path, "Must be an object.")
        return
    if of == "object" and "file" not in own:
        text = f'An object is a file: add "{EXTENSION}": {{"file": {{}}}}. Other objects are not in the subset.'
        yield Problem(path, text)
    known = _EXTENSIONS[of]
    for key in own:
        if key not in known:
            yield Problem(join_path(path, key), f"Not known for the type {of}. Known: {', '.join(known) or 'nothing'}.")
    for key in ("multiline", "secret"):
        if key in own and key in known and not isinstance(own[key], bool):
            yield Problem(join_path(path, key), "Must be true or false.")
    if "file" in own and of == "object":
        yield from _check_file_setting(join_path(path, "file"), own["file"])
    if "choices" in own and "choices" in known:
        yield from _check_source(join_path(path, "choices"), own["choices"], _find_item_type(schema, of))
        if {"enum", "oneOf"} & schema.keys() or own.get("secret"):
            yield Problem(join_path(path, "choices"), "Use choices, or enum, oneOf or secret.")


def _find_item_type(schema: Mapping[str, Any], of: str) -> str:
    items = schema.get("items")
    return str(items.get("type")) if of == "array" and isinstance(items, dict) else of


def _check_file_setting(path: str, value: Any) -> Iterator[Problem]:
    if not isinstance(value, dict) or not value.keys() <= {"max_kb", "as", "accept"}:
        yield Problem(path, 'Must be an object such as {"max_kb": 64, "as": "text", "accept": [".csv"]}.')
        return
    size = value.get("max_kb", MAX_FILE_KB)
    if isinstance(size, bool) or not isinstance(size, int) or not 1 <= size <= MAX_FILE_KB:
        yield Problem(join_path(path, "max_kb"), f"Must be a whole number, 1 to {MAX_FILE_KB}.")
    if value.get("as", "base64") not in ("text", "base64"):
        yield Problem(join_path(path, "as"), "Must be text or base64.")
    accept = value.get("accept", [])
    is_list = isinstance(accept, list) and len(accept) <= 20
    if not is_list or not all(isinstance(end, str) and re.fullmatch(r"\.[A-Za-z0-9.]{1,20}", end) for end in accept):
        yield Problem(join_path(path, "accept"), 'Must be a list of ends of names, such as [".csv"].')


def _check_source(path: str, value: Any, of: str) -> Iterator[Problem]:
    if not isinstance(value, dict) or len(set(_SOURCES) & value.keys()) != 1:
        yield Problem(path, f"Must be an object with one of {', '.join(_SOURCES)}.")
        return
    for key in value.keys() - {*_SOURCES, "depends_on", "path"}:
        yield Problem(join_path(path, str(key)), "Not known. Known: cases, variable, job, path, depends_on.")
    if "cases" in value:
        yield from _check_cases(join_path(path, "cases"), value, of)
    if "variable" in value and not (isinstance(value["variable"], str) and _VARIABLE.fullmatch(value["variable"])):
        yield Problem(join_path(path, "variable"), "Must be the name of a variable of the job, or shared/ and a name.")
    if "job" in value and not (isinstance(value["job"], str) and _SLUG.fullmatch(value["job"])):
        yield Problem(join_path(path, "job"), "Must be the slug of a job of the same project.")
    way = value.get("path", "")
    if "path" in value and ("cases" in value or not isinstance(way, str) or len(way) > 200 or not way):
        yield Problem(join_path(path, "path"), "Must be the keys that lead to the list, such as hosts.names.")


def _check_cases(path: str, value: Mapping[str, Any], of: str) -> Iterator[Problem]:
    cases = value["cases"]
    if "depends_on" not in value:
        yield Problem(path, "Needs depends_on, the field whose value chooses the case.")
    if not isinstance(cases, dict) or not cases or not all(isinstance(each, list) for each in cases.values()):
        yield Problem(path, 'Must be an object such as {"de": ["Berlin"], "fr": ["Paris"]}.')
        return
    if sum(len(each) for each in cases.values()) > MAX_CHOICES:
        yield Problem(path, f"At most {MAX_CHOICES} choices in all are allowed.")
        return
    for name, values in cases.items():
        has_titles = any(isinstance(item, dict) for item in values)
        text = _find_one_of_problem(values, of) if has_titles else _find_enum_problem(values, of)
        if values and text:
            yield Problem(join_path(path, name), text)


def _check_whole_field(field: Field, fields: Mapping[str, Field]) -> Iterator[Problem]:
    path = join_path("properties", field.name)
    if parent := field.depends_on:
        where = join_path(path, EXTENSION, "choices", "depends_on")
        if parent == field.name or parent not in fields:
            yield Problem(where, f"Must be the name of another field: {list_values(fields)}.")
        elif fields[parent].depends_on:
            yield Problem(where, f"{parent} itself depends on a field; only one step is allowed.")
        elif fields[parent].schema.get("type") not in ("string", "integer", "boolean"):
            yield Problem(where, f"{parent} must be a text, a whole number, or true or false.")
    elif field.source and "depends_on" in field.source:
        yield Problem(join_path(path, EXTENSION, "choices", "depends_on"), "Must be the name of another field.")
    if field.has_default:
        if "file" in field.extension:
            yield Problem(join_path(path, "default"), "A file has no default.")
        for problem in check_field(field, field.default)[:1]:
            yield Problem(join_path(path, "default"), problem.text)
    for low, high in (("minimum", "maximum"), ("minLength", "maxLength"), ("minItems", "maxItems")):
        bounds = [field.schema.get(low), field.schema.get(high, MAX_ITEMS if high == "maxItems" else None)]
        if None not in bounds and bounds[0] > bounds[1]:
            yield Problem(join_path(path, low), f"Must not be more than {high}.")
