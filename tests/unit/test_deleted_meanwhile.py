"""A row that is deleted or taken between validation and write gives an error message, not a server error."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from cronium_admin.accounts import people as persons
from cronium_admin.accounts.models import User
from cronium_admin.accounts.tokens import make_named_token
from cronium_admin.core.errors import ApiError
from cronium_admin.jobs import service as jobs
from cronium_admin.jobs.models import Job
from cronium_admin.profiles.models import Profile
from cronium_admin.runs import state_machine
from cronium_admin.runs.models import Run
from cronium_admin.variables import service
from tests.conftest import Api
from tests.users import get_admin


class TestCancel:
    @pytest.fixture(params=["before it is asked", "after it is asked"])
    def deleted(self, request: pytest.FixtureRequest, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        def delete(*_: Any) -> bool:
            Run.objects.filter(pk=run.pk).delete()
            return bool(request.param == "after it is asked")

        monkeypatch.setattr(state_machine, "cancel_queued", lambda *_: False)
        monkeypatch.setattr(state_machine, "request_cancel", delete)

    def test_by_the_api(self, operator: Api, run: Run, deleted: None) -> None:
        answer = operator.post(f"/runs/{run.pk}/cancel")
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")

    def test_by_the_page(self, people: dict[str, User], run: Run, deleted: None) -> None:
        page = Client()
        page.force_login(people["operator"])
        assert page.post(f"/runs/{run.pk}/cancel/").status_code == 404


def test_a_rerun_on_the_page(people: dict[str, User], run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise ApiError(404, "not_found", "The run was deleted a moment ago.")

    monkeypatch.setattr("cronium_admin.runs.views.rerun", refuse)
    page = Client()
    page.force_login(people["operator"])
    assert page.post(f"/runs/{run.pk}/rerun/").status_code == 404


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Any]], None]:
    """An action after a job's new values were validated, and before they are stored."""

    def happen(act: Callable[[], Any]) -> None:
        check_open = jobs.check_open_network

        def check(*args: Any) -> None:
            check_open(*args)
            act()

        monkeypatch.setattr(jobs, "check_open_network", check)

    return happen


class TestTakenSlug:
    BODY = {"name": "Mine", "slug": "taken", "language": "bash", "script": "true"}

    @pytest.mark.parametrize(("method", "path"), [("POST", "/jobs"), ("PATCH", "/jobs/report")])
    def test_by_the_api(self, editor: Api, job: Job, make_job: Any, meanwhile: Any, method: str, path: str) -> None:
        meanwhile(lambda: make_job(slug="taken"))
        answer = editor.call(method, path, self.BODY)
        assert (answer.status_code, answer.json()["code"]) == (409, "slug_taken")
        assert list(answer.json()["fields"]) == ["slug"]
        assert Job.objects.get(slug="report").name == "Report"


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
class TestAtTheCommit:
    """Foreign keys are checked at the end of the transaction."""

    @pytest.fixture
    def stored(self, transactional_db: None) -> Job:
        values = {"cpu": "0.5", "memory_mb": 512, "pids": 100}
        small, _ = Profile.objects.get_or_create(name="small", defaults=values)
        Profile.objects.get_or_create(name="gone", defaults=values)
        return Job.objects.create(name="Report", slug="report", language="bash", script="true", profile=small)

    def test_a_profile_that_is_gone(self, stored: Job, meanwhile: Any) -> None:
        meanwhile(lambda: Profile.objects.filter(name="gone")._raw_delete("default"))
        saves: list[Callable[[], Any]] = [
            lambda: jobs.create_job({**TestTakenSlug.BODY, "profile": "gone"}, get_admin()),
            lambda: jobs.save_job(stored, {"profile": "gone"}, get_admin()),
        ]
        for save in saves:
            with pytest.raises(ApiError) as refused:
                save()
            assert (refused.value.status, refused.value.code) == (409, "deleted_meanwhile")
            assert list(refused.value.fields) == ["profile"]
            assert Profile.objects.filter(name="gone").exists(), "nothing of the transaction stays"
        assert list(Job.objects.values_list("slug", "profile__name")) == [("report", "small")]

    def test_a_variable_of_a_job_that_is_gone(self, stored: Job) -> None:
        place = service.resolve_scope(get_admin(), "report", "day")
        Job.objects.get().delete()
        with pytest.raises(ApiError) as refused:
            service.set_variable(place, 1, get_admin())
        assert refused.value.status == 404


def test_a_person_who_is_gone(people: dict[str, User]) -> None:
    person = User.objects.get(username="viewer")
    User.objects.filter(pk=person.pk).delete()
    acts: list[tuple[int, Callable[[], Any]]] = [
        (404, lambda: persons.end_sessions(people["admin"], person)),
        (404, lambda: persons.change_person(people["admin"], person, role="editor")),
        (404, lambda: persons.reset_password(people["admin"], person)),
        (401, lambda: make_named_token(person, "laptop", None)),
    ]
    for status, act in acts:
        with pytest.raises(ApiError) as refused:
            act()
        assert refused.value.status == status
