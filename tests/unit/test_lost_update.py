"""Two users edit one job: the user who saves an older revision gets a conflict, and no change is lost."""

import pytest
from django.test import Client

from cronium_admin.accounts.models import User
from cronium_admin.core.edit_versions import EditConflict
from cronium_admin.jobs import service
from cronium_admin.jobs.models import Job
from cronium_admin.jobs.service import save_job
from tests.conftest import Api


class TestApi:
    def test_a_patch_of_the_revision_that_is_stored_is_taken(self, editor: Api, job: Job) -> None:
        answer = editor.patch("/jobs/report", {"script": "echo 2", "revision": 1})
        assert (answer.status_code, answer.json()["revision"]) == (200, 2)

    def test_a_patch_of_an_older_one_is_refused_with_who_and_when(self, editor: Api, admin: Api, job: Job) -> None:
        admin.patch("/jobs/report", {"script": "echo theirs"})
        answer = editor.patch("/jobs/report", {"script": "echo mine", "revision": 1})
        assert (answer.status_code, answer.json()["code"]) == (409, "changed_meanwhile")
        assert list(answer.json()["fields"]) == ["revision"]
        assert "admin saved revision 2 at 20" in answer.json()["detail"]
        assert Job.objects.get().script == "echo theirs"

    def test_without_a_revision_the_last_one_wins(self, editor: Api, admin: Api, job: Job) -> None:
        admin.patch("/jobs/report", {"script": "echo theirs"})
        assert editor.patch("/jobs/report", {"script": "echo mine"}).json()["revision"] == 3

    @pytest.mark.parametrize("change", [{"name": "Other"}, {"enabled": False}, {"tags": ["a"]}, {"log_keep_days": 3}])
    def test_every_save_that_changes_something_is_a_revision(
        self, editor: Api, job: Job, change: dict[str, object]
    ) -> None:
        assert editor.patch("/jobs/report", change).json()["revision"] == 2
        assert editor.patch("/jobs/report", change).json()["revision"] == 2
        assert editor.patch("/jobs/report", {"script": "true", "revision": 1}).status_code == 409


def test_the_update_is_conditional_in_the_database(
    job: Job, people: dict[str, User], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another user saves after the row was read, as without a lock."""
    apply = service._apply_fields

    def apply_and_save(stored: Job, data: object) -> None:
        apply(stored, data)  # type: ignore[arg-type]
        Job.objects.filter(pk=stored.pk).update(revision=9, script="echo theirs")

    monkeypatch.setattr(service, "_apply_fields", apply_and_save)
    with pytest.raises(EditConflict):
        save_job(job, {"script": "echo mine"}, people["editor"])


class TestPage:
    @pytest.fixture
    def browser(self, people: dict[str, User]) -> Client:
        client = Client()
        client.force_login(people["editor"])
        return client

    @staticmethod
    def _form(**changes: str) -> dict[str, str]:
        same = {"name": "Report", "language": "bash", "profile": "small", "timeout_seconds": "3600", "enabled": "on"}
        return same | {"script": "echo mine\necho more", "input_text": '{"day": 1}', "read_only_root": "on"} | changes

    def test_the_editor_carries_the_revision(self, browser: Client, job: Job) -> None:
        assert '<input type="hidden" name="revision" value="1">' in browser.get("/jobs/report/edit/").content.decode()

    def test_an_older_page_is_told_and_keeps_its_text(self, browser: Client, admin: Api, job: Job) -> None:
        admin.patch("/jobs/report", {"script": "echo theirs", "timeout_seconds": 5})
        answer = browser.post("/jobs/report/edit/", self._form(revision="1"))
        html = answer.content.decode()
        assert answer.status_code == 409
        assert "admin saved revision 2 while you edited this job" in html
        assert "-echo theirs\n+echo mine\n+echo more" in html
        assert "Different: Script, Timeout, Environment" in html
        assert 'name="revision" value="2"' in html
        assert "echo mine\necho more</textarea>" in html
        assert "Save my version" in html
        assert "Take theirs" in html
        assert Job.objects.get().script == "echo theirs"

        assert browser.post("/jobs/report/edit/", self._form(revision="2")).status_code == 302
        assert (Job.objects.get().script, Job.objects.get().revision) == ("echo mine\necho more", 3)

    def test_a_form_without_a_revision_is_saved_as_before(self, browser: Client, job: Job) -> None:
        assert browser.post("/jobs/report/edit/", self._form()).status_code == 302
