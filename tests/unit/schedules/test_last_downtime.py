"""After a downtime: what was missed, what the policies did, and the rest on request."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from cronium_admin.accounts.models import User
from cronium_admin.core.database.clock import database_now
from cronium_admin.jobs.models import Job
from cronium_admin.runs.models import Run
from cronium_admin.schedules import last_downtime
from cronium_admin.schedules.models import Heartbeat, Schedule
from tests.conftest import Api
from tests.unit.schedules.conftest import at, fire, read_ledger

pytestmark = pytest.mark.django_db
BEGAN, ENDED = "2026-11-26T01:30", "2026-11-26T05:45"
PAGE = "/schedules/downtime/"
Make = Callable[..., Schedule]


@pytest.fixture
def downtime() -> None:
    Heartbeat.objects.update_or_create(
        pk=1, defaults={"ticked_at": database_now(), "down_from": at(BEGAN), "down_until": at(ENDED)}
    )


@pytest.fixture
def affected(make_schedule: Make, downtime: None) -> dict[str, Schedule]:
    """A schedule of each policy, each with the times 02:00 to 05:00 in the downtime, and one at 01:00 before it."""
    made = {missed: make_schedule(missed=missed, name=missed, overlap="allow") for missed in ("latest", "none", "all")}
    for schedule in made.values():
        fire(schedule, "2026-11-26T01:00")
        fire(schedule, ENDED, (BEGAN, ENDED))
    return made


def sign_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def read(client: Client) -> str:
    return client.get(PAGE).content.decode()


def test_each_schedule_has_what_became_of_its_times(viewer: Api, affected: dict[str, Schedule]) -> None:
    answer = viewer.get("/schedules/downtime").json()
    assert (answer["began_at"], answer["ended_at"], answer["truncated"]) == (f"{BEGAN}:00Z", f"{ENDED}:00Z", False)
    found = {row["name"]: (row["states"], row["left"]) for row in answer["schedules"]}
    assert found == {
        "none": ({"missed": 4}, 4),
        "all": ({"caught_up": 1, "missed": 3}, 3),
        "latest": ({"caught_up": 1, "missed": 3}, 3),
    }
    assert answer["schedules"][0]["name"] == "none", "the most times to run come first"


def test_the_page_offers_to_run_the_rest(people: dict[str, User], affected: dict[str, Schedule]) -> None:
    operator, viewer = sign_in(people["operator"]), sign_in(people["viewer"])
    page = read(operator)
    assert all(words in page for words in ("10 times did not run", "are not run", "the latest runs", "Run the chosen"))
    page = read(viewer)
    assert "needs the role Operator" in page
    assert "Run the chosen" not in page
    before = Run.objects.count()
    sent = {"ended_at": at(ENDED).isoformat(), "schedule": [affected["none"].pk, affected["all"].pk]}
    assert viewer.post(f"{PAGE}run/", sent).status_code == 403
    answer = operator.post(f"{PAGE}run/", sent, follow=True).content.decode()
    assert "7 missed times run now, of 2 schedules." in answer
    assert Run.objects.count() == before + 7
    states = [(time[11:], state) for time, state, _, _ in read_ledger(affected["none"])]
    assert states == [("01:00", "ran"), *((f"0{hour}:00", "caught_up") for hour in range(2, 6))]
    answer = operator.post(f"{PAGE}run/", sent, follow=True).content.decode()
    assert "have no missed times of this downtime any more" in answer
    assert Run.objects.count() == before + 7


def test_only_times_of_the_downtime_run(people: dict[str, User], affected: dict[str, Schedule]) -> None:
    schedule = affected["none"]
    later = schedule.occurrences.get(state="missed")
    later.pk = None
    later.nominal_at = later.last_nominal_at = at("2026-11-26T09:00")
    later.count, later.label = 1, None
    later.save()
    sent = {"ended_at": at(ENDED).isoformat(), "schedule": [schedule.pk]}
    sign_in(people["operator"]).post(f"{PAGE}run/", sent)
    assert [time[11:] for time, state, _, _ in read_ledger(schedule) if state == "missed"] == ["09:00"]


def test_the_runs_of_one_request_are_limited(
    people: dict[str, User], affected: dict[str, Schedule], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(last_downtime, "MAX_LAUNCHED", 5)
    sent = {"ended_at": at(ENDED).isoformat(), "schedule": [schedule.pk for schedule in affected.values()]}
    answer = sign_in(people["operator"]).post(f"{PAGE}run/", sent, follow=True).content.decode()
    assert "5 missed times run now" in answer
    assert "5 are left" in answer


def test_a_refused_schedule_stops_no_other(people: dict[str, User], affected: dict[str, Schedule]) -> None:
    Job.objects.filter(pk=affected["none"].job_id).update(enabled=False)
    sent = {"ended_at": at(ENDED).isoformat(), "schedule": [affected["none"].pk, affected["all"].pk, "x", 10**12]}
    answer = sign_in(people["operator"]).post(f"{PAGE}run/", sent, follow=True).content.decode()
    assert "3 missed times run now, of 1 schedule." in answer
    assert "disabled" in answer


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        ({}, "another downtime"),
        ({"ended_at": "2020-01-01"}, "another downtime"),
        ({"ended_at": "2026-11-26T05:45:00+00:00"}, "Choose at least one schedule"),
    ],
)
def test_a_wrong_request_runs_nothing(
    people: dict[str, User], affected: dict[str, Schedule], sent: dict[str, Any], words: str
) -> None:
    before = Run.objects.count()
    answer = sign_in(people["operator"]).post(f"{PAGE}run/", sent, follow=True).content.decode()
    assert words in answer
    assert Run.objects.count() == before


def test_without_a_downtime(viewer: Api, people: dict[str, User]) -> None:
    assert viewer.get("/schedules/downtime").json()["schedules"] == []
    assert "No downtime is recorded" in read(sign_in(people["viewer"]))


def test_the_list_names_a_recent_downtime(people: dict[str, User], downtime: None) -> None:
    client = sign_in(people["viewer"])
    for days, is_named in ((8, False), (6, True)):
        Heartbeat.objects.update(down_until=database_now() - timedelta(days=days))
        assert (PAGE in client.get("/schedules/").content.decode()) == is_named, days


def test_the_queries_do_not_grow_with_the_schedules(
    people: dict[str, User], affected: dict[str, Schedule], django_assert_num_queries: Callable[[int], Any]
) -> None:
    client = sign_in(people["operator"])
    with django_assert_num_queries(7):
        client.get(PAGE)
    affected["all"].delete()
    affected["none"].delete()
    with django_assert_num_queries(7):
        client.get(PAGE)
