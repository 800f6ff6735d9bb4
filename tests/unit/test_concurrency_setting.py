"""The setting `concurrency` of a job: what is accepted, and the key of a run."""

from typing import Any

import pytest
from django.core.exceptions import ValidationError

from cronium_admin.jobs.concurrency import KeyFailed, compute_key, normalize_concurrency
from tests.conftest import Api


def key_of(expression: str, value: Any) -> str:
    return compute_key(normalize_concurrency({"limit": 1, "key": expression}), value)


def test_a_limit_has_defaults() -> None:
    assert normalize_concurrency(None) is None
    assert normalize_concurrency({"limit": 3}) == {"limit": 3, "key": "", "when_full": "queue"}
    assert normalize_concurrency({"limit": 3, "key": " a.b ", "when_full": "skip"}) == {
        "limit": 3,
        "key": "a.b",
        "when_full": "skip",
    }


@pytest.mark.parametrize(
    ("value", "code", "says"),
    [
        (3, "limit", "Must be an object"),
        ([], "limit", "Must be an object"),
        ({}, "limit", "limit: Must be a whole number, 1 to 1,000"),
        ({"limit": 0}, "limit", "1 run or more"),
        ({"limit": True}, "limit", "whole number"),
        ({"limit": 1001}, "limit", "1,000 runs at most"),
        ({"limit": 10**30}, "limit", "at most"),
        ({"limit": 1, "keys": "a"}, "limit", "keys: Unknown field"),
        ({"limit": 1, "key": 5}, "key", "Must be a text"),
        ({"limit": 1, "key": "a."}, "key", "not a JMESPath expression"),
        ({"limit": 1, "key": "a\0b"}, "key", "control character"),
        ({"limit": 1, "key": "a" * 301}, "key", "at most 300"),
        ({"limit": 1, "key": "upper(a)"}, "key", "no function upper()"),
        ({"limit": 1, "key": "|".join(["[@,@][]"] * 30)}, "key", "more than 16 parts"),
        ({"limit": 1, "when_full": "wait"}, "when_full", "queue, skip, cancel_oldest"),
        ({"limit": 1, "when_full": None}, "when_full", "queue, skip, cancel_oldest"),
        ({"limit": 1, "when_full": []}, "when_full", "queue, skip, cancel_oldest"),
    ],
)
def test_what_is_refused_names_its_field(value: Any, code: str, says: str) -> None:
    with pytest.raises(ValidationError) as refused:
        normalize_concurrency(value)
    [error] = refused.value.error_list
    assert error.code == code
    assert says in error.message


@pytest.mark.parametrize(
    ("expression", "value", "key"),
    [
        ("", {"a": 1}, ""),
        ("customer", {"customer": "eu"}, "eu"),
        ("customer.id", {"customer": {"id": 7}}, "7"),
        ("items[0].id", {"items": [{"id": True}]}, "true"),
        ("customer", {}, ""),
        ("customer", None, ""),
        ("customer", [1, 2], ""),
        ("customer", {"customer": None}, ""),
        ("customer", {"customer": 0}, "0"),
        ("customer", {"customer": False}, "false"),
        ("@", {"b": 1, "a": [2]}, '{"a":[2],"b":1}'),
        ("join('/', [region, name])", {"region": "eu", "name": "x"}, "eu/x"),
        ("region || 'none'", {}, "none"),
    ],
)
def test_the_key_of_a_run(expression: str, value: Any, key: str) -> None:
    assert key_of(expression, value) == key


@pytest.mark.parametrize("text", ["x" * 101, "a\nb", "\ud800", "a\0b"])
def test_a_key_that_is_long_or_not_printable_is_its_digest(text: str) -> None:
    key = key_of("customer", {"customer": text})
    assert key.startswith("sha256:")
    assert len(key) == 71
    assert key != key_of("customer", {"customer": text + "y"})


def test_an_expression_that_fails_or_takes_too_long_says_so() -> None:
    with pytest.raises(KeyFailed, match="invalid type"):
        key_of("length(customer)", {"customer": 5})
    with pytest.raises(KeyFailed, match="too many steps"):
        key_of("[*].a.b.c", [{}] * 20_000)


def test_a_job_is_saved_with_its_limit_and_priority(editor: Api) -> None:
    body = {"name": "Import", "language": "bash", "script": "echo", "priority": 5, "concurrency": {"limit": 2}}
    made = editor.post("/jobs", body)
    assert made.status_code == 201, made.content
    assert (made.json()["priority"], made.json()["concurrency"]["when_full"]) == (5, "queue")
    changed = editor.patch("/jobs/import", {"concurrency": {"limit": 1, "key": "id", "when_full": "skip"}})
    assert changed.json()["concurrency"] == {"limit": 1, "key": "id", "when_full": "skip"}
    assert editor.get("/jobs/import/revisions/2").json()["settings"]["concurrency"]["key"] == "id"
    assert editor.patch("/jobs/import", {"concurrency": None}).json()["concurrency"] is None


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"priority": 0}, "priority"),
        ({"priority": 6}, "priority"),
        ({"priority": "high"}, "priority"),
        ({"priority": None}, "priority"),
        ({"priority": True}, "priority"),
        ({"concurrency": {"limit": 1, "key": "a["}}, "concurrency"),
        ({"concurrency": {"limit": 10**400}}, "concurrency"),
        ({"concurrency": "1"}, "concurrency"),
    ],
)
def test_a_wrong_value_is_refused_at_its_field(editor: Api, body: dict[str, Any], field: str) -> None:
    editor.post("/jobs", {"name": "Import", "language": "bash", "script": "echo"})
    refused = editor.patch("/jobs/import", body)
    assert refused.status_code == 422, refused.content
    assert list(refused.json()["fields"]) == [field]
