"""A row that was deleted or renamed and recreated: an edit of the old row does not change the new one."""

from typing import Any

import pytest
from django.test import Client

from cronium_admin.accounts.models import User
from cronium_admin.jobs.models import Job
from cronium_admin.jobs.service import save_job
from cronium_admin.profiles.models import Profile
from cronium_admin.profiles.service import save_profile
from cronium_admin.runs.models import Run
from tests.conftest import Api
from tests.users import get_admin

JOB = {"name": "Report", "slug": "report", "language": "bash", "script": "echo new"}
PROFILE = {"name": "medium", "cpu": 1, "memory_mb": 800, "pids": 200}
# path; the body that makes it; the method and body of a change; the counter
KINDS: dict[str, tuple[str, str, dict[str, Any], str, dict[str, Any], str]] = {
    "job": ("/jobs/report", "/jobs", JOB, "PATCH", {"script": "echo old"}, "revision"),
    "profile": ("/profiles/medium", "/profiles", PROFILE, "PATCH", {"memory_mb": 700}, "version"),
    "secret": ("/secrets/KEY", "", {"value": "a new value"}, "PUT", {"value": "an old value"}, "version"),
    "person": ("/people/pat", "/people", {"username": "pat", "role": "viewer"}, "PATCH", {"role": "editor"}, "version"),
}


def _make(api: Api, kind: str) -> dict[str, Any]:
    path, collection, body, *_ = KINDS[kind]
    answer = api.post(collection, body) if collection else api.put(path, body)
    assert answer.status_code == 201, answer.content
    return dict(api.get(path).json())


@pytest.fixture
def browser(people: dict[str, User]) -> Client:
    client = Client()
    client.force_login(people["admin"])
    return client


@pytest.mark.parametrize("kind", KINDS)
class TestMadeAgain:
    @pytest.fixture(autouse=True)
    def _without_the_seeded(self, admin: Api) -> None:
        assert admin.delete("/profiles/medium").status_code == 204

    def test_it_goes_on_with_a_newer_version(self, admin: Api, kind: str) -> None:
        path, _, _, method, body, counter = KINDS[kind]
        seen = set()
        for _ in range(3):
            made = _make(admin, kind)
            changed = admin.call(method, path, {**body, counter: made[counter]}).json()
            assert not seen & {made[counter], changed[counter]}
            seen |= {made[counter], changed[counter]}
            assert admin.delete(path).status_code == 204

    def test_a_change_and_a_deletion_of_the_old_one_are_refused(self, admin: Api, kind: str) -> None:
        path, _, _, method, body, counter = KINDS[kind]
        old = _make(admin, kind)[counter]
        assert admin.delete(f"{path}?{counter}={old}").status_code == 204
        new = _make(admin, kind)
        for answer in (
            admin.call(method, path, {**body, counter: old}),
            admin.delete(f"{path}?{counter}={old}"),
        ):
            assert (answer.status_code, answer.json()["code"]) == (409, "changed_meanwhile")
        assert admin.get(path).json() == new
        assert admin.delete(f"{path}?{counter}={new[counter]}").status_code == 204

    def test_a_deletion_without_a_version_is_of_any(self, admin: Api, kind: str) -> None:
        path, *_ = KINDS[kind]
        _make(admin, kind)
        assert admin.delete(path).status_code == 204


def test_a_profile_that_took_the_name_of_another(admin: Api) -> None:
    old = admin.get("/profiles/medium").json()["version"]
    for before, after in (("medium", "middle"), ("large", "medium")):
        save_profile(Profile.objects.get(name=before), {"name": after}, get_admin())
    answer = admin.patch("/profiles/medium", {"memory_mb": 700, "version": old})
    assert answer.status_code == 409


def test_a_job_that_took_the_slug_of_another(make_job: Any, editor: Api) -> None:
    first, second = make_job(slug="first"), make_job(slug="second")
    save_job(first, {"slug": "gone"}, get_admin())
    save_job(second, {"slug": "first"}, get_admin())
    answer = editor.patch("/jobs/first", {"script": "echo old", "revision": 1})
    assert answer.status_code == 409
    assert editor.get("/jobs/first").json()["revision"] > 1


class TestAJobThatIsGone:
    FORM = {"name": "Mine", "language": "bash", "script": "echo typed", "profile": "small", "timeout_seconds": "60"}

    @pytest.mark.parametrize("renamed", [True, False])
    def test_what_was_typed_comes_back_as_a_new_job(self, browser: Client, job: Job, renamed: bool) -> None:
        if renamed:
            save_job(job, {"slug": "another"}, get_admin())
        else:
            Job.objects.all().delete()
        answer = browser.post("/jobs/report/edit/", {**self.FORM, "revision": "1", "env-name": "A", "env-value": "b"})
        html = answer.content.decode()
        assert answer.status_code == 409
        assert "the job report was deleted, or its address was changed, while" in html
        assert "echo typed" in html
        assert 'action="/jobs/new/"' in html
        assert 'name="revision"' not in html
        assert browser.post("/jobs/new/", self.FORM).status_code == 302
        assert Job.objects.get(name="Mine").script == "echo typed"

    def test_it_goes_at_the_moment_of_saving(self, browser: Client, job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
        def save(*args: Any) -> Job:
            Job.objects.all().delete()
            return save_job(*args)

        monkeypatch.setattr("cronium_admin.jobs.editor_views.save_job", save)
        answer = browser.post("/jobs/report/edit/", {**self.FORM, "revision": "1"})
        assert answer.status_code == 409
        assert "echo typed" in answer.content.decode()

    def test_its_address_is_not_found(self, browser: Client, people: dict[str, User], job: Job) -> None:
        assert browser.get("/jobs/nowhere/edit/").status_code == 404
        browser.force_login(people["operator"])
        assert browser.post("/jobs/nowhere/edit/", self.FORM).status_code == 403


def test_a_deletion_from_an_older_page_leaves_the_newer_row(browser: Client, admin: Api, run: Run) -> None:
    """The conflict is reported before the live run."""
    assert admin.patch("/jobs/report", {"script": "echo theirs"}).status_code == 200
    answer = browser.post("/jobs/report/delete/", {"revision": "1"})
    assert answer.status_code == 409
    assert "Nothing was deleted" in answer.content.decode()
    assert Job.objects.exists()
