"""The maximum limits at every entry: model, service, API and the database itself."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.test import Client

from cronium_admin.accounts.models import User
from cronium_admin.core.config import Config, load_config
from cronium_admin.core.errors import ApiError
from cronium_admin.jobs.models import Job
from cronium_admin.jobs.service import create_job
from cronium_admin.profiles.models import Profile
from cronium_admin.profiles.service import delete_profile, save_profile
from cronium_admin.workers.health.checks import ceilings
from tests.conftest import Api
from tests.users import get_admin

OUTSIDE = [
    *[("cpu", Decimal("2.01"), "2 CPU"), ("cpu", Decimal("0.04"), "0.05"), ("memory_mb", 2049, "2,048 MB")],
    *[("memory_mb", 31, "32"), ("pids", 1001, "1,000 processes"), ("pids", 9, "10")],
    *[("log_limit_mb", 1001, "1,000 MB of log"), ("log_limit_mb", 0, "1 MB")],
]
EDGES = [
    *[("cpu", Decimal("2")), ("cpu", Decimal("0.05")), ("memory_mb", 2048), ("memory_mb", 32), ("pids", 1000)],
    *[("pids", 10), ("log_limit_mb", 1), ("log_limit_mb", 1000)],
]


@pytest.mark.parametrize(("field", "value", "told"), OUTSIDE)
class TestOutside:
    def test_the_model_refuses(self, make_job: Callable[..., Job], field: str, value: Any, told: str) -> None:
        job = make_job()
        setattr(job, field, value)
        with pytest.raises(ValidationError) as caught:
            job.full_clean(exclude=["created_by"])
        assert list(caught.value.message_dict) == [field]
        assert told in caught.value.message_dict[field][0]

    def test_the_service_behind_the_form_refuses(self, db: None, field: str, value: Any, told: str) -> None:
        with pytest.raises(ValidationError) as caught:
            create_job({"name": "N", "language": "bash", "script": "true", field: value}, get_admin())
        assert told in caught.value.message_dict[field][0]

    def test_the_api_refuses_with_the_ceiling(
        self, admin: Api, job: Job, field: str, value: Any, told: str, nothing_stored: None
    ) -> None:
        number = float(value)
        body: dict[str, Any] = {field: number if field == "cpu" else int(number)}
        profile = {"name": "tiny", "cpu": 1, "memory_mb": 64, "pids": 20, **body}
        for answer in (
            admin.patch("/jobs/report", body),
            admin.post("/jobs/report/runs", body),
            admin.patch("/profiles/small", body),
            admin.post("/profiles", profile),
        ):
            assert answer.status_code == 422
            assert list(answer.json()["fields"]) == [field]
            assert told in answer.json()["fields"][field][0]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *[("cpu", Decimal("99.01")), ("cpu", Decimal("0.04")), ("memory_mb", 1_000_001), ("memory_mb", 31)],
        *[("pids", 1_000_001), ("pids", 9), ("log_limit_mb", 1001), ("log_limit_mb", 0)],
    ],
)
def test_the_database_refuses_what_no_setting_allows(make_job: Callable[..., Job], field: str, value: Any) -> None:
    job = make_job()
    for query in (Job.objects.filter(pk=job.pk), Profile.objects.filter(name="small")):
        with pytest.raises(IntegrityError), transaction.atomic():
            query.update(**{field: value})


@pytest.mark.parametrize(("field", "value"), EDGES)
def test_the_edges_are_allowed(make_job: Callable[..., Job], field: str, value: Any) -> None:
    job = make_job()
    setattr(job, field, value)
    job.full_clean(exclude=["created_by"])
    job.save()


@pytest.mark.parametrize("seconds", [0, 86_401])
def test_the_database_refuses_a_timeout_outside(make_job: Callable[..., Job], seconds: int) -> None:
    job = make_job()
    with pytest.raises(IntegrityError), transaction.atomic():
        Job.objects.filter(pk=job.pk).update(timeout_seconds=seconds)


def test_the_seeded_profiles_are_the_contracts(db: None) -> None:
    found = {row.name: (row.cpu, row.memory_mb, row.pids, row.limits.log_limit_mb) for row in Profile.objects.all()}
    assert found == {
        "small": (Decimal("0.5"), 512, 100, 50),
        "medium": (Decimal("1"), 1024, 250, 50),
        "large": (Decimal("2"), 2048, 1000, 50),
    }


@pytest.fixture
def put_ceilings(settings: Any) -> Callable[..., None]:
    def put(**values: Any) -> None:
        settings.CONFIG = settings.CONFIG.model_copy(update=values)

    return put


class TestCeilingsOfTheSettings:
    @pytest.mark.parametrize(
        ("name", "given", "made"),
        [
            *[("max_cpu", "16", "16"), ("max_cpu", "2.50", "2.5"), ("max_cpu", "10.0", "10"), ("max_cpu", "", "2")],
            *[("max_memory_mb", "65536", "65536"), ("max_memory_mb", "", "2048")],
            *[("max_pids", "20000", "20000"), ("max_pids", "", "1000")],
        ],
    )
    def test_the_environment_sets_them(self, monkeypatch: pytest.MonkeyPatch, name: str, given: str, made: str) -> None:
        monkeypatch.setenv(f"CRONIUM_{name.upper()}", given)
        assert str(getattr(Config(), name)) == made

    @pytest.mark.parametrize(
        ("name", "given"),
        [
            *[("max_cpu", value) for value in ("0", "0.04", "100", "1.234", "NaN", "inf", "two", "1,5")],
            *[("max_memory_mb", value) for value in ("31", "1000001", "2048.5", "2g", "-1")],
            *[("max_pids", value) for value in ("9", "1000001", "1e3", "none")],
        ],
    )
    def test_a_bad_one_stops_the_start(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, given: str
    ) -> None:
        monkeypatch.setenv(f"CRONIUM_{name.upper()}", given)
        load_config.cache_clear()
        try:
            with pytest.raises(SystemExit):
                load_config()
        finally:
            load_config.cache_clear()
        said = capsys.readouterr().err
        assert said.startswith(f"CRONIUM_{name.upper()}: {given!r} is not allowed")

    def test_raised_they_allow_more_everywhere(self, admin: Api, job: Job, put_ceilings: Callable[..., None]) -> None:
        put_ceilings(max_cpu=Decimal(16), max_memory_mb=8192, max_pids=4000)
        body = {"cpu": 16, "memory_mb": 8192, "pids": 4000}
        assert admin.post("/profiles", {"name": "huge", **body}).status_code == 201
        assert admin.patch("/jobs/report", body).status_code == 200
        launched = admin.post("/jobs/report/runs", {"memory_mb": 8000})
        assert launched.status_code == 202, launched.json()
        assert launched.json()["limits"] == {**body, "memory_mb": 8000, "log_limit_mb": 50}
        refused = admin.post("/jobs/report/runs", {"memory_mb": 8193})
        assert refused.json()["fields"]["memory_mb"] == [
            "8,192 MB at most; this is 8,193. CRONIUM_MAX_MEMORY_MB sets this maximum."
        ]

    def test_pages_show_them(
        self, client: Client, people: dict[str, User], job: Job, put_ceilings: Callable[..., None]
    ) -> None:
        put_ceilings(max_cpu=Decimal("7.5"), max_memory_mb=3072, max_pids=4321)
        client.force_login(people["admin"])
        for url in ("/profiles/", "/jobs/new/"):
            text = client.get(url).content.decode()
            assert "7.5 CPU, 3 GB, 4" in text, url

    def test_a_profile_above_a_lowered_one_is_refused_and_named(
        self,
        admin: Api,
        client: Client,
        people: dict[str, User],
        make_job: Callable[..., Job],
        put_ceilings: Callable[..., None],
    ) -> None:
        client.force_login(people["admin"])
        make_job(slug="heavy", profile=Profile.objects.get(name="large"))
        put_ceilings(max_cpu=Decimal(1), max_memory_mb=1024, max_pids=250)
        page = client.get("/profiles/").content.decode()
        assert page.count("so its runs are refused") == 1
        assert "maximum of 1 CPU, 1024 MB, 250 processes, so its runs are refused. Lower the value here" in page
        assert "CRONIUM_MAX_PIDS" in page
        answer = admin.post("/jobs/heavy/runs", {})
        assert answer.status_code == 422
        fields = answer.json()["fields"]
        assert set(fields) == {"cpu", "memory_mb", "pids"}
        assert fields["memory_mb"] == [
            "1,024 MB at most; this is 2,048. CRONIUM_MAX_MEMORY_MB sets this maximum.",
            "The profile large sets this value: change the profile, or choose another one.",
        ]
        own = admin.post("/jobs/heavy/runs", {"cpu": 2, "memory_mb": 64, "pids": 20}).json()["fields"]
        assert own == {"cpu": ["1 CPU at most; this is 2. CRONIUM_MAX_CPU sets this maximum."]}
        assert admin.post("/jobs/heavy/runs", {"profile": "medium"}).status_code == 202

    def test_doctor_names_what_is_above(self, make_job: Callable[..., Job], put_ceilings: Callable[..., None]) -> None:
        make_job(slug="heavy", memory_mb=1500)
        assert ceilings._find_above_maximum().state == "ok"
        put_ceilings(max_memory_mb=1024)
        row = ceilings._find_above_maximum()
        assert row.state == "warning"
        assert row.found.endswith("profile large, job heavy")
        assert "CRONIUM_MAX_MEMORY_MB" in row.mend


class TestProfiles:
    def test_one_in_use_is_not_deleted(self, admin: Api, make_job: Callable[..., Job]) -> None:
        make_job(slug="heavy", profile=Profile.objects.get(name="large"))
        answer = admin.delete("/profiles/large")
        assert (answer.status_code, answer.json()["code"]) == (409, "profile_in_use")
        assert "heavy" in answer.json()["detail"]
        assert Profile.objects.filter(name="large").exists()

    def test_the_default_is_never_deleted_nor_renamed(self, admin: Api) -> None:
        answer = admin.delete("/profiles/small")
        assert (answer.status_code, answer.json()["code"]) == (409, "profile_is_default")
        with pytest.raises(ApiError):
            save_profile(Profile.objects.get(name="small"), {"name": "other"}, get_admin())
        with pytest.raises(ApiError):
            delete_profile(Profile.objects.get(name="small"))

    @pytest.mark.parametrize("name", ["", "Big", "a b", "1st", "x" * 41, "small", "new", "a\n", "ä"])
    def test_a_bad_or_taken_name_is_refused(self, admin: Api, name: str, nothing_stored: None) -> None:
        answer = admin.post("/profiles", {"name": name, "cpu": 1, "memory_mb": 64, "pids": 20})
        assert answer.status_code == 422
        assert list(answer.json()["fields"]) == ["name"]

    def test_made_changed_shown_and_deleted(self, admin: Api, make_job: Callable[..., Job]) -> None:
        made = admin.post("/profiles", {"name": "tiny", "cpu": 0.1, "memory_mb": 64, "pids": 20})
        assert made.status_code == 201
        shape = {"name": "tiny", "cpu": 0.1, "memory_mb": 64, "pids": 20, "log_limit_mb": 50, "runtime": "", "jobs": 0}
        assert made.json() == {**shape, "version": 1}
        make_job(profile=Profile.objects.get(name="tiny"))
        assert admin.patch("/profiles/tiny", {"cpu": 1.5}).json()["cpu"] == 1.5
        assert admin.get("/profiles/tiny").json()["jobs"] == 1
        assert [row["name"] for row in admin.get("/profiles").json()["items"]] == ["tiny", "small", "medium", "large"]
        Job.objects.all().delete()
        assert admin.delete("/profiles/tiny").status_code == 204
        assert admin.get("/profiles/tiny").status_code == 404

    def test_a_change_without_sense_is_refused(self, admin: Api, nothing_stored: None) -> None:
        for body, field in (({"name": "x"}, "name"), ({"cpu": None}, "cpu"), ({"pids": "9"}, "pids")):
            answer = admin.patch("/profiles/small", body)
            assert answer.status_code == 422
            assert list(answer.json()["fields"]) == [field]
