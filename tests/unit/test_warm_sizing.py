"""How many sandboxes wait: Erlang's B, arrival rates, first places, bursts, the cap. Pure."""

import math

import pytest

from cronium_admin.workers.warm.sizing import (
    Demand,
    Wanted,
    allocate_places,
    compute_limit,
    compute_miss_share,
    compute_places,
    plan_places,
)

MB = 1024 * 1024


def exact_share(load: float, places: int) -> float:
    terms = [load**k / math.factorial(k) for k in range(places + 1)]
    return terms[-1] / sum(terms)


@pytest.mark.parametrize("load", [0.01, 0.3, 1, 4, 17.5])
@pytest.mark.parametrize("places", [1, 2, 5, 20])
def test_the_share_of_misses_is_erlangs_b(load: float, places: int) -> None:
    assert compute_miss_share(load, places) == pytest.approx(exact_share(load, places))


@pytest.mark.parametrize(
    ("per_second", "places"), [(0, 0), (1 / 600, 1), (1 / 60, 1), (1 / 5, 2), (1, 4), (3, 8), (1e9, 100)]
)
def test_places_for_a_rate_with_a_refill_of_one_second(per_second: float, places: int) -> None:
    assert compute_places(per_second) == places


def test_one_place_less_is_too_few() -> None:
    for load in (0.05, 0.2, 1.0, 2.5, 7.0):
        places = compute_places(load)
        assert exact_share(load, places) <= 0.02 < exact_share(load, places - 1)


def launched(*times: float) -> Demand:
    demand = Demand()
    for at in times:
        demand.note_launch(at)
    return demand


def test_the_second_launch_within_ten_minutes_gives_the_first_place() -> None:
    assert launched(0).compute_target(1, 1) == 0
    assert launched(0, 601).compute_target(602, 1) == 0
    assert launched(0, 599).compute_target(600, 1) == 1
    assert launched(0, 601, 1200).compute_target(1201, 1) == 1


def test_it_is_kept_for_an_hour_after_the_last_launch() -> None:
    demand = launched(0, 500)
    assert demand.compute_target(500 + 3599, 1) == 1
    assert demand.compute_target(500 + 3601, 1) == 0
    assert not demand.is_over(500 + 3599)
    assert demand.is_over(500 + 3601)
    demand.note_launch(5000)
    assert demand.compute_target(5001, 1) == 0, "it begins again"


def test_a_launch_every_fifty_minutes_keeps_its_place() -> None:
    demand = launched(0, 500)
    for at in (3500, 6500, 9500):
        demand.note_launch(at)
        assert demand.compute_target(at + 1, 1) == 1


def test_a_default_has_a_place_without_launches() -> None:
    assert Demand().compute_target(0, 1, is_default=True) == 1
    assert launched(0).compute_target(1, 1, is_default=True) == 1


def test_a_burst_counts_at_once_and_fades() -> None:
    demand = launched(*(index * 0.1 for index in range(60)))
    assert demand.compute_target(6, 1) == 4
    assert demand.compute_rate(6) == pytest.approx(1, rel=0.1)
    assert demand.compute_target(6 + 600, 1) == 2
    assert demand.compute_target(6 + 1800, 1) == 1
    steady = launched(*(index * 5.0 for index in range(1000)))
    assert steady.compute_rate(5000) == pytest.approx(0.2, rel=0.1)
    assert steady.compute_target(5000, 1) == 2


def test_misses_of_a_burst_add_a_place_each_up_to_double_for_ten_minutes() -> None:
    demand = launched(0, 300)
    demand.note_launch(400, is_miss=True)
    assert demand.compute_target(401, 1) == 2
    for _ in range(5):
        demand.note_launch(402, is_miss=True)
    assert demand.compute_target(1003, 1) == 1, "the misses are ten minutes ago"
    places = compute_places(demand.compute_rate(403))
    assert demand.compute_target(403, 1) == 2 * places


def test_the_launches_before_the_first_place_are_no_misses() -> None:
    demand = Demand()
    demand.note_launch(0, is_miss=True)
    demand.note_launch(300, is_miss=True)
    assert demand.compute_target(301, 1) == 1


def test_an_expected_launch_is_prepared_shortly_before() -> None:
    demand = Demand()
    demand.expect(100)
    demand.expect(100)
    assert demand.compute_target(90, 1) == 0
    assert demand.compute_target(97.5, 1) == 2
    assert demand.compute_target(104, 1) == 0


def test_older_launches_may_be_noted_later() -> None:
    late = launched(0, 100, 50)
    assert late.compute_rate(100) == pytest.approx(launched(0, 50, 100).compute_rate(100))
    assert late.last_at == 100


def test_a_place_goes_where_it_saves_most() -> None:
    wanted = {"busy": Wanted(4, 1.0), "rare": Wanted(1, 1 / 600), "default": Wanted(1, 0)}
    assert allocate_places(wanted, 4, 1) == {"busy": 4, "rare": 0, "default": 0}
    assert allocate_places(wanted, 5, 1) == {"busy": 4, "rare": 1, "default": 0}
    assert allocate_places(wanted, 50, 1) == {"busy": 4, "rare": 1, "default": 1}
    assert allocate_places(wanted, 0, 1) == {"busy": 0, "rare": 0, "default": 0}
    even = {"one": Wanted(3, 0), "other": Wanted(3, 0)}
    assert allocate_places(even, 2, 1) == {"one": 1, "other": 1}


@pytest.mark.parametrize(
    ("configured", "memory_mb", "limit"),
    [(None, None, 4), (None, 64_000, 4), (None, 4_000, 2), (None, 512, 1), (0, 64_000, 0), (9, 1_000, 9), (1, None, 1)],
)
def test_the_cap(configured: int | None, memory_mb: int | None, limit: int) -> None:
    assert compute_limit(configured, memory_mb and memory_mb * MB, 20 * MB) == limit


def plan(limit: int, **rates: float) -> dict[str, int]:
    """The places of shapes with these launches per second, each with a target of its own, and of their stems."""
    wanted = {name: Wanted(compute_places(rate) if rate > 1 / 700 else 0, rate) for name, rate in rates.items()}
    stems = {name: name[0].upper() for name in rates}
    return {key: places for key, places in plan_places(wanted, stems, limit, 1)[1].items() if places}


def test_a_stem_serves_all_shapes_of_its_network() -> None:
    assert plan(4, i1=1 / 60) == {"I": 1, "i1": 1}
    assert plan(4, i1=1 / 3600, i2=1 / 3600) == {"I": 1}, "shapes that were launched once"
    assert plan(4, i1=1 / 60, o1=1 / 60) == {"I": 1, "O": 1, "i1": 1, "o1": 1}
    assert plan(4, i1=1) == {"I": 1, "i1": 3}
    assert plan(1, i1=1) == {"i1": 1}
    assert plan(0, i1=1) == {}


def test_what_is_left_goes_to_stems_for_the_launches_that_find_no_whole_one() -> None:
    many = {f"i{number}": 1 / 800 for number in range(400)}  # each shape is rare, together they are not
    assert plan(10, **many) == {"I": 3}
    assert plan(2, **many) == {"I": 2}
