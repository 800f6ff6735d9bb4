"""Which schemas are accepted, and where a refused one is wrong."""

import time
from typing import Any

import pytest

from cronium_admin.inputs.fields import Kind, read_schema
from cronium_admin.inputs.schema_check import find_schema_problems

EVERYTHING: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Deploy",
    "type": "object",
    "required": ["region"],
    "additionalProperties": False,
    "properties": {
        "region": {"type": "string", "title": "Region", "oneOf": [{"const": "eu", "title": "Europe"}, {"const": "us"}]},
        "city": {
            "type": "string",
            "x-cronium": {"choices": {"depends_on": "region", "cases": {"eu": ["Oslo", "Rome"], "us": ["Boston"]}}},
        },
        "host": {"type": "string", "x-cronium": {"choices": {"job": "list-hosts", "path": "hosts.names"}}},
        "table": {"type": "array", "items": {"type": "string"}, "x-cronium": {"choices": {"variable": "tables"}}},
        "days": {
            "type": "array",
            "items": {"type": "string", "enum": ["mon", "tue"]},
            "minItems": 1,
            "default": ["mon"],
        },
        "names": {"type": "array", "items": {"type": "string", "minLength": 2}, "uniqueItems": True},
        "note": {"type": "string", "maxLength": 200, "x-cronium": {"multiline": True}},
        "day": {"type": "string", "format": "date"},
        "at": {"type": "string", "format": "date-time"},
        "code": {"type": "string", "pattern": "^[A-Z]{2}[0-9]+$"},
        "count": {"type": "integer", "minimum": 1, "maximum": 10, "default": 3},
        "ratio": {"type": "number", "exclusiveMinimum": 0, "multipleOf": 0.5},
        "dry_run": {"type": "boolean", "default": True},
        "key": {"type": "string", "x-cronium": {"secret": True}},
        "data": {"type": "object", "x-cronium": {"file": {"max_kb": 64, "as": "text", "accept": [".csv"]}}},
    },
    "x-cronium": {"order": ["count", "region"]},
}


def test_a_schema_with_everything_is_read_in_its_order() -> None:
    assert find_schema_problems(EVERYTHING) == []
    schema = read_schema(EVERYTHING)
    assert [field.name for field in schema.fields][:3] == ["count", "region", "city"]
    assert {field.name: field.kind for field in schema.fields} == {
        **{"count": Kind.INTEGER, "region": Kind.CHOICE, "city": Kind.CHOICE, "host": Kind.CHOICE},
        **{"table": Kind.MULTI, "days": Kind.MULTI, "names": Kind.LIST, "note": Kind.LINES, "day": Kind.DATE},
        **{"at": Kind.DATETIME, "code": Kind.TEXT, "ratio": Kind.NUMBER, "dry_run": Kind.BOOLEAN},
        **{"key": Kind.SECRET, "data": Kind.FILE},
    }
    region = schema.by_name["region"]
    assert region.is_required
    assert [(option.value, option.title) for option in region.static_choices.options] == [
        ("eu", "Europe"),
        ("us", "us"),
    ]


def of(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


@pytest.mark.parametrize(
    ("schema", "path", "says"),
    [
        ([], "", "Must be a JSON Schema"),
        ({"properties": {}}, "type", 'Must be "object"'),
        ({"type": "object", "$schema": "http://json-schema.org/draft-07/schema#"}, "$schema", "Must be https://"),
        ({"type": "object", "$defs": {}}, "$defs", "Not a keyword for a schema"),
        ({"type": "object", "allOf": []}, "allOf", "Not a keyword"),
        ({"type": "object", "properties": []}, "properties", "Must be an object"),
        ({"type": "object", "required": ["a"]}, "required", "'a' is not one of the properties: none"),
        ({"type": "object", "required": "a"}, "required", "Must be a list"),
        ({"type": "object", "title": 5}, "title", "at most 100 characters"),
        ({"type": "object", "additionalProperties": {}}, "additionalProperties", "true or false"),
        ({"type": "object", "x-cronium": {"order": ["b"]}}, "x-cronium.order", "'b' is not one"),
        ({"type": "object", "x-cronium": {"sort": 1}}, "x-cronium.order", "Must be a list"),
        (of(a={"$ref": "https://example.com/x.json"}), "properties.a.type", "Must be one of"),
        (of(a={"type": "string", "$ref": "#/x"}), "properties.a.$ref", "References are not allowed"),
        (of(a={"type": ["string", "null"]}), "properties.a.type", "Must be one of"),
        (of(a={"type": "string", "minimum": 1}), "properties.a.minimum", "Not a keyword for the type string"),
        (of(a={"type": "integer", "minimun": 1}), "properties.a.minimun", "The keywords are: type"),
        (of(a={"type": "integer", "minimum": "1"}), "properties.a.minimum", "Must be a number"),
        (of(a={"type": "integer", "minimum": 10**400}), "properties.a.minimum", "at most 1e15"),
        (of(a={"type": "integer", "minimum": 5, "maximum": 1}), "properties.a.minimum", "not be more than maximum"),
        (of(a={"type": "number", "multipleOf": 0}), "properties.a.multipleOf", "more than 0"),
        (of(a={"type": "string", "pattern": "("}), "properties.a.pattern", "not an RE2 expression"),
        (of(a={"type": "string", "pattern": "(?=a)"}), "properties.a.pattern", "no look-around"),
        (of(a={"type": "string", "pattern": "a" * 301}), "properties.a.pattern", "at most 300"),
        (of(a={"type": "string", "pattern": "((a{1,99}){1,99}){1,9}"}), "properties.a.pattern", "Can't be used"),
        (of(a={"type": "string", "format": "email"}), "properties.a.format", "date, date-time"),
        (of(a={"type": "string", "enum": []}), "properties.a.enum", "list of choices"),
        (of(a={"type": "string", "enum": ["a", "a"]}), "properties.a.enum", "'a' is listed twice"),
        (of(a={"type": "string", "enum": [1]}), "properties.a.enum", "1 is not of the type string"),
        (of(a={"type": "integer", "enum": [True]}), "properties.a.enum", "true is not of the type"),
        (of(a={"type": "string", "enum": ["a"], "oneOf": [{"const": "a"}]}), "properties.a.oneOf", "not both"),
        (of(a={"type": "string", "oneOf": ["a"]}), "properties.a.oneOf", '{"const": "eu"'),
        (of(a={"type": "string", "default": 3}), "properties.a.default", "Must be a text, not 3"),
        (of(a={"type": "string", "enum": ["x"], "default": "y"}), "properties.a.default", "not one of the choices"),
        (of(a={"type": "array"}), "properties.a.items", "Must be a schema"),
        (of(a={"type": "array", "items": {"type": "array", "items": {}}}), "properties.a.items", "Must be a schema"),
        (of(a={"type": "object"}), "properties.a.x-cronium", "An object is a file"),
        (of(a={"type": "object", "properties": {}}), "properties.a.properties", "Not a keyword"),
        (
            of(a={"type": "object", "x-cronium": {"file": {"max_kb": 999}}}),
            "properties.a.x-cronium.file.max_kb",
            "1 to",
        ),
        (
            of(a={"type": "object", "x-cronium": {"file": {"accept": ["csv"]}}}),
            "properties.a.x-cronium.file.accept",
            "",
        ),
        (of(a={"type": "string", "x-cronium": {"hidden": True}}), "properties.a.x-cronium.hidden", "Known: multiline"),
        (of(a={"type": "string", "x-cronium": {"choices": {}}}), "properties.a.x-cronium.choices", "one of cases"),
        (
            of(a={"type": "string", "x-cronium": {"choices": {"variable": "../etc"}}}),
            "properties.a.x-cronium.choices.variable",
            "name of a variable",
        ),
        (
            of(a={"type": "string", "x-cronium": {"choices": {"cases": {"x": ["y"]}}}}),
            "properties.a.x-cronium.choices.cases",
            "Needs depends_on",
        ),
        (
            of(a={"type": "string", "x-cronium": {"choices": {"cases": {"x": ["y"]}, "depends_on": "b"}}}),
            "properties.a.x-cronium.choices.depends_on",
            "name of another field",
        ),
        (of(**{"a b": {"type": "string"}}), "properties.a b", "Use a name"),
        (of(**{f"f{n}": {"type": "string"} for n in range(51)}), "properties", "at most 50"),
        (of(a={"type": "string", "enum": [f"c{n}" for n in range(501)]}), "properties.a.enum", "at most 500"),
        (of(a={"type": "string", "description": "x" * 501}), "properties.a.description", "at most 500"),
        (of(a={"type": "string", "enum": ["x" * 70_000]}), "", "at most 65,536"),
        (
            of(**{f"f{n}": {"type": "object", "x-cronium": {"file": {}}} for n in range(3)}),
            "properties",
            "768 KB in all",
        ),
    ],
)
def test_a_refused_schema_says_where(schema: Any, path: str, says: str) -> None:
    problems = find_schema_problems(schema)
    assert (path, True) in [(problem.path, says in problem.text) for problem in problems], problems


def test_hostile_schemas_are_refused_at_once() -> None:
    deep: Any = {"type": "string"}
    for _ in range(5000):
        deep = {"type": "array", "items": deep}
    began = time.perf_counter()
    assert find_schema_problems(of(a=deep))
    assert find_schema_problems({"type": "object", "properties": deep})
    assert find_schema_problems(of(a={"type": "string", "enum": list(range(100_000))}))
    assert find_schema_problems({"type": "object", "required": ["a"] * 100_000})
    assert time.perf_counter() - began < 30  # not minutes
