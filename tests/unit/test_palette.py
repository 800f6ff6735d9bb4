"""What the palette finds by the number of a run."""

from collections.abc import Callable

import pytest
from django.test import Client

from cronium_admin.accounts.models import User
from cronium_admin.jobs.models import Job
from cronium_admin.palette import entries
from cronium_admin.runs.launch import launch
from tests.users import get_admin


def test_a_number_says_if_not_all_jobs_were_searched(
    make_job: Callable[..., Job], people: dict[str, User], client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entries, "MAX_NUMBERED", 2)
    for name, number in (("alpha", 3), ("beta", 1), ("gamma", 2)):
        job = make_job(name=name, slug=name)
        for _ in range(number):
            launch(job, get_admin())
    client.force_login(people["viewer"])
    note = "jobs that reached this number last. Add a word of another job: NAME #12."
    found = client.get("/palette/entries/", {"q": "#1"}).content.decode()
    assert [name in found for name in ("alpha #1", "beta #1", "gamma #1", note)] == [False, True, True, True]
    assert found.count('class="entry"') == 2 + found.count("/help/")
    named = client.get("/palette/entries/", {"q": "alpha #1"}).content.decode()
    assert [text in named for text in ("alpha #1", note)] == [True, False]
    assert note not in client.get("/palette/entries/", {"q": "#2"}).content.decode()
