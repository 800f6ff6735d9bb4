"""What an image answers to its smoke test: any program in it may write any text."""

import json

import pytest

from executor.checks.memory_handler import MemoryHandler
from executor.checks.smoke import SmokeResult, _read_result
from executor.spec import RunResult

ENDED = RunResult("succeeded", "", "The script ended.", 0)


def read(text: str) -> SmokeResult:
    handler = MemoryHandler()
    handler.text = text.encode()
    return _read_result(handler, ENDED, "python")


def test_odd_characters_are_replaced() -> None:
    row = {"name": "import a\0\ud800", "passed": False, "found": "x\x1b[31m" + "y" * 1000}
    result = read(json.dumps([row]))
    assert not result.passed
    start, check = result.checks
    assert start.passed
    assert (check.name, check.found[:6], len(check.found)) == ("import a??", "x?[31m", 500)
    assert json.dumps([check.name, result.message]).isprintable()
    assert "\0" not in result.message


@pytest.mark.parametrize("text", ["", "[" * 100_000, "7", "{}", "[7]", '[{"name": 1}]', "a\0b", "null"])
def test_another_answer_is_no_start(text: str) -> None:
    result = read(text)
    assert [check.name for check in result.checks] == ["start"]
    assert not result.passed
    assert "\0" not in result.message


def test_the_number_of_checks_is_limited() -> None:
    rows = json.dumps([{"name": "x" * 500, "passed": True, "found": ""}] * 5000)
    result = read(rows)
    assert (len(result.checks), len(result.checks[1].name)) == (201, 250)
