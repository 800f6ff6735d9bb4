"""The editor's group "Retries", the attempts on the pages of runs, and the field "Start at"."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from cronium_admin.accounts.models import User
from cronium_admin.core.database.clock import database_now
from cronium_admin.jobs.models import Job
from cronium_admin.jobs.retry import normalize_retry
from cronium_admin.runs.models import Run
from tests.unit.retries.conftest import Launch, fail

pytestmark = pytest.mark.django_db
FORM = {
    **{"name": "Report", "language": "bash", "script": "true", "profile": "small", "timeout_seconds": "60"},
    **{"retry_max": "2", "retry_on": ["failed", "lost"], "retry_reasons": "oom", "retry_exit_codes": "75, 111"},
    **{"retry_delay_seconds": "30", "retry_backoff": "constant", "retry_max_delay_seconds": "3600"},
}


@pytest.fixture
def editor(client: Client, people: dict[str, User]) -> Client:
    client.force_login(people["editor"])
    return client


class TestEditor:
    def test_it_stores_the_setting(self, editor: Client, job: Job) -> None:
        assert editor.post(f"/jobs/{job.slug}/edit/", FORM).status_code == 302
        job.refresh_from_db()
        assert job.retry == normalize_retry(
            {
                **{"max": 2, "on": ["failed", "lost", "oom"], "exit_codes": [75, 111]},
                **{"delay_seconds": 30, "backoff": "constant"},
            }
        )
        page = editor.get(f"/jobs/{job.slug}/edit/").content.decode()
        assert "up to 2 further attempts, after 30 s" in page
        assert 'value="75 111"' in page
        assert 'value="lost" checked' in page
        assert "up to 2 further attempts, after 30 s" in editor.get(f"/jobs/{job.slug}/settings/").content.decode()
        assert editor.post(f"/jobs/{job.slug}/edit/", FORM | {"retry_max": ""}).status_code == 302
        job.refresh_from_db()
        assert job.retry is None

    def test_a_form_without_the_group_keeps_it(self, editor: Client, job: Job) -> None:
        Job.objects.update(retry=normalize_retry({"max": 1}))
        other = {name: value for name, value in FORM.items() if not name.startswith("retry")}
        assert editor.post(f"/jobs/{job.slug}/edit/", other).status_code == 302
        job.refresh_from_db()
        assert job.retry == normalize_retry({"max": 1})

    @pytest.mark.parametrize(
        ("field", "value", "problem"),
        [
            ("retry_max", "many", "Must be a whole number."),
            ("retry_max", "21", "20 further attempts at most; this is 21."),
            ("retry_delay_seconds", "9" * 5000, "Must be a whole number."),
            ("retry_delay_seconds", "7200", "Must be at least delay_seconds, 7,200."),
            ("retry_reasons", "weather", "&#x27;weather&#x27; is no status or reason."),
            ("retry_exit_codes", "0", "Must be a list of numbers, 1 to 255"),
            ("retry_exit_codes", "9" * 5000, "Must be a list of numbers, 1 to 255"),
            ("retry_backoff", "linear", "Must be constant or exponential."),
            ("retry_on", [], "Choose the ends of a run that are retried"),
        ],
    )
    def test_an_error_stands_at_its_field(self, editor: Client, job: Job, field: str, value: Any, problem: str) -> None:
        form = FORM | {"retry_backoff": "exponential", field: value}
        if field == "retry_on":
            form["retry_reasons"] = ""
        answer = editor.post(f"/jobs/{job.slug}/edit/", form)
        assert answer.status_code == 422
        page = answer.content.decode()
        group = page[page.index("Retries <span") :]
        assert problem in group
        assert '<details class="more" open><summary>Retries' in page
        assert 'value="2"' in group or field == "retry_max"  # nothing typed is lost
        job.refresh_from_db()
        assert job.retry is None


class TestAttempts:
    def test_they_stand_together(self, editor: Client, start: Launch) -> None:
        first = start(delay_seconds=600, backoff="constant")
        second = fail(first)
        page = editor.get(f"/runs/{first.pk}/").content.decode()
        group = page[page.index('id="attempts-title"') :].split("</section>")[0]
        assert "Attempt 1 of 3" in group
        assert f'href="/runs/{second.pk}/"' in group
        assert "exit code 1" in group
        assert f'starts <time datetime="{second.not_before and second.not_before.isoformat()}" data-local>' in group
        assert "Repeated as" not in page
        page = editor.get(f"/runs/{second.pk}/").content.decode()
        assert "Attempt 2 of 3" in page
        assert "as attempt 2 of 3, after" in page
        assert "No further attempt follows." in page
        live = editor.get(f"/runs/{second.pk}/live/").content.decode()
        assert '<div id="run-attempts" hx-swap-oob="true"><section' in live
        listing = editor.get("/runs/").content.decode()
        assert listing.count("attempt 2 of 3") == 1
        assert "attempt 1 of" not in listing

    def test_a_run_without_others_has_no_group(self, editor: Client, start: Launch, run: Run) -> None:
        for one in (run, start()):
            assert 'id="attempts-title"' not in editor.get(f"/runs/{one.pk}/").content.decode()


class TestStartAt:
    @pytest.fixture
    def post(self, client: Client, people: dict[str, User], job: Job) -> Callable[..., Any]:
        client.force_login(people["operator"])
        return lambda **form: client.post(f"/runs/launch/{job.slug}/", {"with": "yes", **form})

    def test_in_the_zone_of_the_browser(self, post: Callable[..., Any]) -> None:
        year = database_now().year + 1
        day = (database_now() + timedelta(days=180)).replace(month=1, day=5, year=year)
        local = f"{day:%Y-%m-%d}T18:00"
        assert post(start_at=local, start_zone="Europe/Berlin").status_code == 302
        run = Run.objects.get()
        assert run.not_before is not None
        assert f"{run.not_before:%H:%M}" == "17:00"

    def test_empty_is_now(self, post: Callable[..., Any]) -> None:
        assert post(start_at="", start_zone="Mars/Base").status_code == 302
        assert Run.objects.get().not_before is None

    @pytest.mark.parametrize(
        ("form", "problem"),
        [
            ({"start_at": "2020-01-01T00:00"}, "2020-01-01 00:00 UTC has passed"),
            ({"start_at": "2900-01-01T00:00"}, "At most 366 days ahead"),
            ({"start_at": "soon\0"}, ""),
            ({"start_at": "soon"}, "Write a date and a time"),
            ({"start_at": "2027-03-28T02:30", "start_zone": "Europe/Berlin"}, "does not exist in Europe/Berlin"),
            ({"start_at": "2027-03-28T02:30", "start_zone": "Mars/Base"}, "of your browser is unknown"),
        ],
    )
    def test_a_wrong_time_is_refused(self, post: Callable[..., Any], form: dict[str, str], problem: str) -> None:
        answer = post(**form, timeout_seconds="77")
        assert answer.status_code == 422
        page = answer.content.decode()
        assert problem in page
        assert 'id="with-start-at-error"' in page
        assert 'value="77"' in page
        assert not Run.objects.exists()
