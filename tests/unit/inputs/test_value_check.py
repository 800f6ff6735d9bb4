"""An input against a schema: what fits, and the path and words of each problem."""

import base64
from typing import Any

import pytest

from cronium_admin.inputs.fields import read_schema
from cronium_admin.inputs.schema_check import find_schema_problems
from cronium_admin.inputs.value_check import add_defaults, check_value
from tests.unit.inputs.test_schema_check import EVERYTHING, of

FILE = base64.b64encode(b"a;b").decode()
GOOD: dict[str, Any] = {
    **{"region": "eu", "city": "Oslo", "days": ["tue"], "names": ["Ann", "Bob"], "note": "a\nb", "day": "2028-02-29"},
    **{"at": "2027-03-28T09:00:00+02:00", "code": "AB12", "count": 10, "ratio": 1.5, "dry_run": False},
    **{"key": "API_KEY", "data": {"name": "A.CSV", "text": "a;b"}},
}


def test_a_good_input_has_no_problem() -> None:
    assert check_value(read_schema(EVERYTHING), GOOD) == []


@pytest.mark.parametrize(
    ("change", "path", "says"),
    [
        ({"region": "asia"}, "region", "'asia' is not one of the choices. Allowed: eu, us."),
        ({"region": None}, "region", "not null"),
        ({"days": ["mon", "sun"]}, "days.1", "'sun' is not one of the choices. Allowed: mon, tue."),
        ({"days": []}, "days", "Choose 1 or more"),
        ({"days": "mon"}, "days", "Must be a list, not 'mon'"),
        ({"names": ["Ann", "Ann"]}, "names", "listed twice"),
        ({"names": ["A"]}, "names.0", "2 characters or more; this has 1"),
        ({"names": [f"name{n}" for n in range(1001)]}, "names", "1000 at most"),
        ({"note": "x" * 201}, "note", "200 characters at most; this has 201"),
        ({"day": "2027-02-29"}, "day", "is not a date such as"),
        ({"day": "20270228"}, "day", "is not a date such as"),
        ({"at": "2027-03-28T09:00:00"}, "at", "is not a time such as"),
        ({"at": "2027-03-28T25:00:00Z"}, "at", "is not a time such as"),
        ({"code": "ab"}, "code", "does not match the pattern"),
        ({"count": 11}, "count", "10 at most; this is 11"),
        ({"count": 1.5}, "count", "Must be a whole number, not 1.5"),
        ({"count": True}, "count", "Must be a whole number, not true"),
        ({"count": "3"}, "count", "not '3'"),
        ({"ratio": 0}, "ratio", "more than 0"),
        ({"ratio": 0.7}, "ratio", "multiple of 0.5"),
        ({"dry_run": "yes"}, "dry_run", "Must be true or false"),
        ({"data": "x"}, "data", 'Must be an object such as {"name": "data.csv", "text": "..."}'),
        ({"data": {"name": "a.csv", "base64": FILE}}, "data.base64", "There is no such key"),
        ({"data": {"name": "a.txt", "text": ""}}, "data.name", "must end with .csv"),
        ({"data": {"name": "../a.csv", "text": ""}}, "data.name", "without a folder"),
        ({"data": {"name": "a.csv", "text": "x" * 65_537}}, "data", "65,537 bytes; at most 65,536"),
        ({"regin": "eu"}, "regin", "There is no such field. The fields are: count, region"),
    ],
)
def test_a_problem_says_where_what_and_what_is_allowed(change: dict[str, Any], path: str, says: str) -> None:
    [problem] = check_value(read_schema(EVERYTHING), GOOD | change)
    assert problem.path == path
    assert says in problem.text


def test_required_fields_and_defaults() -> None:
    schema = read_schema(EVERYTHING)
    [problem] = check_value(schema, {})
    assert str(problem) == "region: Required: one of eu, us."
    assert check_value(schema, {}, is_partial=True) == []
    assert add_defaults(schema, None) == {"count": 3, "days": ["mon"], "dry_run": True}
    assert add_defaults(schema, {"count": 1})["count"] == 1
    assert add_defaults(schema, [1]) == [1]
    assert "Must be an object" in check_value(schema, [1])[0].text
    assert check_value(read_schema({"type": "object"}), {"anything": [{}]}) == []


def test_base64_files_are_measured() -> None:
    schema = read_schema(of(a={"type": "object", "x-cronium": {"file": {"max_kb": 1}}}))
    assert check_value(schema, {"a": {"name": "x", "base64": FILE}}) == []
    assert check_value(schema, {"a": {"name": "x", "base64": "%"}})[0].path == "a.base64"
    assert "at most 1,024" in check_value(schema, {"a": {"name": "x", "base64": "QUJD" * 400}})[0].text


@pytest.mark.parametrize("value", [10**400, -(10**400), 1e308, 5e-324, -0.0])
def test_extreme_numbers_are_judged(value: Any) -> None:
    schema = of(a={"type": "number", "multipleOf": 0.5, "minimum": 1})
    assert find_schema_problems(schema) == []
    check_value(read_schema(schema), {"a": value})


def test_a_pattern_takes_time_in_proportion_to_the_text() -> None:
    schema = of(a={"type": "string", "pattern": "^(a+)+$"})
    assert find_schema_problems(schema) == []
    [problem] = check_value(read_schema(schema), {"a": "a" * 500_000 + "b"})
    assert "does not match" in problem.text


@pytest.mark.parametrize(
    ("step", "value", "is_multiple"),
    [(0.1, 0.3, True), (0.1, 0.35, False), (0.01, 19.99, True), (0.1, 7, True), (1e-300, 1e15, True), (3, 9.0, True)],
)
def test_multiples_are_those_of_the_written_digits(step: float, value: float, is_multiple: bool) -> None:
    schema = of(a={"type": "number", "multipleOf": step})
    assert find_schema_problems(schema) == []
    assert (check_value(read_schema(schema), {"a": value}) == []) is is_multiple
    assert "Must be a number" in check_value(read_schema(schema), {"a": True})[0].text
