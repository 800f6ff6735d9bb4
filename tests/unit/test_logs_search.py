"""Search in a stored log: text and expressions, by stream, per line, within a time limit, and refused expressions."""

import time
from contextlib import ExitStack
from typing import Any

import pytest

from cronium_admin.logs import search, search_slots
from cronium_admin.logs.search import InvalidQuery, Query
from cronium_admin.runs.models import Run
from tests.conftest import Api
from tests.unit.test_logs_read import long_run, write  # noqa: F401 - a fixture

pytestmark = pytest.mark.django_db


def seqs(run: Run, query: Query, after: int = 0) -> list[int]:
    found = search.find_ranges(run.pk, query, after, 1000)
    return [seq for first, last in found.ranges for seq in range(first, last + 1)]


@pytest.fixture
def odd(run: Run) -> Run:
    text = b"\n\none two\ntwo\nTwo \xff\nthe caf\xc3\xa9\n"
    write(run, (1, text), (2, b"err two\n\n"), (1, b"a*b\n\n"))
    return run


CASES = [
    (Query("two"), [3, 4, 7]),
    (Query("two", ignore_case=True), [3, 4, 5, 7]),
    (Query("CAFÉ", ignore_case=True), [6]),
    (Query("a*b"), [9]),
    (Query("A*B", ignore_case=True), [9]),
    (Query("a*b", regex=True), [7, 9][1:]),
    (Query("^two$", regex=True), [4]),
    (Query("^t|o$", regex=True), [3, 4, 6, 7]),
    (Query("^$", regex=True), [1, 2, 8, 10]),
    (Query("two\\s+Two", regex=True), []),
    (Query("[^x]*Two", regex=True), [5]),
    (Query("caf[é]", regex=True), [6]),
    (Query("TWO", regex=True, ignore_case=True), [3, 4, 5, 7]),
    (Query("x*", regex=True), list(range(1, 11))),
    (Query(stream=2), [7, 8]),
    (Query(stream=1), [1, 2, 3, 4, 5, 6, 9, 10]),
    (Query("two", stream=2), [7]),
    (Query("two", stream=1), [3, 4]),
    (Query("not there"), []),
]


@pytest.mark.parametrize(("query", "expected"), CASES)
def test_it_finds_the_lines_and_each_once(odd: Run, query: Query, expected: list[int]) -> None:
    assert seqs(odd, query) == expected
    assert [line.seq for line in search.find_lines(odd.pk, query, 0, 1000, 10**6)[0]] == expected
    for after in (*range(11), 99, 2**62 - 1):
        assert seqs(odd, query, after) == [seq for seq in expected if seq > after]


def test_neighbours_come_as_one_range_across_chunks(long_run: Run) -> None:  # noqa: F811
    found = search.find_ranges(long_run.pk, Query("line"), 0, 10)
    assert (found.ranges, found.count, found.searched_to) == ([(1, 5000)], 5000, 5000)
    assert search.find_ranges(long_run.pk, Query(stream=2), 0, 100).ranges == [
        (n, n + 249) for n in range(251, 5000, 500)
    ]


def test_it_goes_on_where_it_stopped(long_run: Run) -> None:  # noqa: F811
    whole, after, ranges = seqs(long_run, Query("7 ")), 0, []
    while after < 5000:
        found = search.find_ranges(long_run.pk, Query("7 "), after, 3, seconds=0)
        assert found.searched_to > after
        ranges += found.ranges
        after = found.searched_to
    assert [first for first, _ in ranges] == whole
    lines, looked = search.find_lines(long_run.pk, Query("line 77"), 0, 3, 10**6)
    assert ([line.seq for line in lines], looked) == ([77, 770, 771], 771)
    assert len(search.find_lines(long_run.pk, Query("line"), 0, 1000, 1000)[0]) == 14  # cut by bytes


def test_an_expression_made_to_take_for_ever_takes_no_time(run: Run) -> None:
    write(run, (1, b"a" * 900_000 + b"!\n"))
    began = time.monotonic()
    assert seqs(run, Query("(a+)+$", regex=True)) == []
    assert seqs(run, Query("(a|a)*b|(a*)*c", regex=True)) == []
    assert time.monotonic() - began < 5


def test_an_expression_of_great_size_is_looked_for_in_parts(run: Run) -> None:
    """RE2 needs seconds per MB for it: the time limit is checked every few lines."""
    write(run, (1, (b"x" * 999 + b"\n") * 200 + b"Q\n"))
    query, after, looks = Query("(x?){300}Q", regex=True), 0, 0
    while after < 201:
        found = search.find_ranges(run.pk, query, after, 10, seconds=0)
        assert 0 < found.searched_to - after <= 17
        after, looks = found.searched_to, looks + 1
    assert (looks > 5, found.ranges) == (True, [(201, 201)])


@pytest.mark.parametrize("text", ["(.{0,50}x){20}(.{0,50}y){10}Q", "(x|y){1000}(\\pL|\\pN){9}Q"])
def test_an_expression_that_is_too_large_is_refused(run: Run, text: str) -> None:
    write(run, (1, b"one\n"))
    with pytest.raises(InvalidQuery, match="too large"):
        seqs(run, Query(text, regex=True))


def test_an_expression_that_is_too_large_for_one_line_is_refused_when_it_comes_there(viewer: Api, run: Run) -> None:
    write(run, (1, b"short\n" + b"x" * 1_000_000 + b"\nend\n"))
    asked = f"/runs/{run.pk}/logs/find?regex=true&q="
    answer = viewer.get(asked + "(x%3F)%7B900%7DQ")
    assert answer.status_code == 422
    assert "too large for a line of 1,000,0" in answer.json()["fields"]["q"][0]
    assert viewer.get(asked + "(x%3F)%7B9%7Dend").json()["ranges"] == [[3, 3]]


@pytest.mark.parametrize("text", ["(", "a{1000}{1000}", "(?=x)", "\\1", "[", "two\nthree", "\ud800"])
def test_what_is_no_expression_is_refused_in_words(run: Run, text: str) -> None:
    write(run, (1, b"one\n"))
    with pytest.raises(InvalidQuery) as refused:
        seqs(run, Query(text, regex=True))
    assert str(refused.value)


# The API.


def get(api: Api, run: Run, route: str) -> Any:
    answer = api.get(f"/runs/{run.pk}/{route}")
    assert answer.status_code == 200, answer.content
    return answer.json()


def test_the_api_finds(viewer: Api, odd: Run) -> None:
    body = get(viewer, odd, "logs/find?q=two&ignore_case=true")
    assert body == {"ranges": [[3, 5], [7, 7]], "count": 4, "next": 10, "lines": 10, "ended": True}
    assert get(viewer, odd, "logs/find?stream=stderr")["ranges"] == [[7, 8]]
    assert get(viewer, odd, "logs/find?q=%5Etwo%24&regex=true&after=2")["ranges"] == [[4, 4]]
    lines = get(viewer, odd, "logs?q=two&stream=stderr")
    assert ([line["text"] for line in lines["lines"]], lines["next"], lines["ended"]) == (["err two"], 10, True)


@pytest.mark.parametrize("route", ["logs", "logs/find"])
def test_the_api_refuses_with_the_field(viewer: Api, odd: Run, route: str) -> None:
    for query in ("q=(&regex=true", "q=" + "x" * 1001, "stream=both", "regex=maybe", "q=a%0Ab"):
        answer = viewer.get(f"/runs/{odd.pk}/{route}?{query}")
        assert answer.status_code == 422
        assert answer.json()["fields"].keys() & {"q", "stream", "regex"}


def test_it_finds_while_the_run_goes_on(viewer: Api, run: Run) -> None:
    write(run, (1, b"one\ntwo\n"), seal=False)
    assert get(viewer, run, "logs/find?q=two") == {
        "ranges": [[2, 2]],
        "count": 1,
        "next": 2,
        "lines": 2,
        "ended": False,
    }


def test_one_line_costs_no_more_than_a_bounded_number_of_steps(run: Run) -> None:
    write(run, (1, b"x" * 1_000_000 + b"\n"))
    with pytest.raises(InvalidQuery, match="too large for a line"):
        seqs(run, Query("(x?){150}Q", regex=True))


def test_a_search_ends_when_its_client_is_gone(run: Run) -> None:
    write(run, (1, b"".join(b"line %d\n" % n for n in range(20_000))))
    found = search.find_ranges(
        run.pk, Query("(l|i|n|e| |\\d){30}Q", regex=True), 0, 10, seconds=60, is_cancelled=lambda: True
    )
    assert found.searched_to < 20_000


def test_past_the_slots_a_search_is_refused_and_says_when_to_come_again(
    viewer: Api, odd: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search_slots, "WAIT_SECONDS", 0.01)
    with ExitStack() as held:
        for _ in range(search_slots.MAX_RUNNING):
            held.enter_context(search_slots.hold_search_slot())
        for route in ("logs?q=two", "logs/find?q=two"):
            answer = viewer.get(f"/runs/{odd.pk}/{route}")
            assert (answer.status_code, answer.json()["code"], answer["Retry-After"]) == (429, "busy", "3")
        assert viewer.get(f"/runs/{odd.pk}/logs").status_code == 200
    assert get(viewer, odd, "logs/find?q=two")["count"] == 3
