"""Fixtures of all tests: users of each role, API clients, and rows."""

import gc
import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.core.cache import caches
from django.db import connections
from django.http import HttpResponse
from django.test import Client, override_settings

from cronium_admin.accounts.models import ApiToken, User
from cronium_admin.home.tallies import clear_tallies
from cronium_admin.jobs.models import Job
from cronium_admin.profiles.models import Profile
from cronium_admin.runs.launch import launch
from cronium_admin.runs.models import Run
from cronium_admin.workers.database_threads import DatabaseThreads
from tests.flushes import speed_up_flush
from tests.prepared import DATABASE, copy_database, migrated_folder
from tests.users import get_admin

ROLES = ("viewer", "operator", "editor", "admin")

gc.disable()  # until all tests are collected


def pytest_collection_finish() -> None:
    """Freezes modules and collected tests, so that garbage collections are shorter."""
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session", autouse=True)
def _fast_flush() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        speed_up_flush(patch)
        yield


@pytest.fixture
def database(transactional_db: None) -> Iterator[DatabaseThreads]:
    """The database threads of a worker."""
    made = DatabaseThreads(1)
    yield made
    made._pool.submit(connections.close_all).result()
    made.close()


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with a migrated database, to copy from."""
    return migrated_folder(tmp_path_factory)


def _is_sqlite() -> bool:
    return bool(django_settings.DATABASES["default"]["ENGINE"].endswith("sqlite3"))


@pytest.fixture(scope="session")
def django_db_keepdb(django_db_keepdb: bool) -> bool:
    """A SQLite database is migrated already; it is removed with its folder."""
    return django_db_keepdb or _is_sqlite()


@pytest.fixture(scope="session")
def django_db_modify_db_settings(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    django_db_modify_db_settings_parallel_suffix: None,
) -> None:
    """A file, as in production, so that threads use WAL and its locks."""
    if _is_sqlite():
        folder = tmp_path_factory.mktemp("database")
        copy_database(request.getfixturevalue("migrated"), folder)
        django_settings.DATABASES["default"].setdefault("TEST", {})["NAME"] = str(folder / DATABASE)


# Names without hashes: nothing was collected, and no page is looked at.
PLAIN = {
    "STORAGES": {
        **django_settings.STORAGES,
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    },
    "PASSWORD_HASHERS": ["django.contrib.auth.hashers.MD5PasswordHasher"],  # the real one is slow on purpose
}


@pytest.fixture(scope="session", autouse=True)
def _plain_settings() -> Iterator[None]:
    with override_settings(**PLAIN):
        yield


@pytest.fixture
def tmp_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As pytest's own, without its search for a free name, which costs more than a small test."""
    path = tmp_path_factory.getbasetemp() / f"t{next(_numbers)}"
    path.mkdir(mode=0o700)
    return path


_numbers = itertools.count()


@pytest.fixture(autouse=True)
def _plain_surroundings(tmp_path: Path) -> Iterator[None]:
    """Removes settings of the shell, so that tests start from the defaults."""
    own = django_settings.CONFIG, django_settings.DATA_DIR
    empty = {f"container_images_{language}": "" for language in ("bash", "python", "node")}
    # Set without Django's signal: nothing listens for these two, and each signal costs time in thousands of tests.
    django_settings.CONFIG = own[0].model_copy(update={**empty, "data_dir": tmp_path, "log_limit_mb": None})
    django_settings.DATA_DIR = tmp_path
    caches["throttle_own"].clear()  # attempts are counted by the user's id, which other tests use again
    clear_tallies()  # kept for some seconds, for users of the same id too
    yield
    django_settings.CONFIG, django_settings.DATA_DIR = own


class Api:
    """The REST API as one user; `who` None is an unauthenticated client."""

    def __init__(self, who: User | None) -> None:
        self.user = who
        self.client = Client(raise_request_exception=False)
        self.headers = {}
        if who is not None:
            self.headers["Authorization"] = f"Bearer {ApiToken.mint(who, 'tests')[1]}"

    def call(
        self, method: str, path: str, body: Any = None, *, raw: bytes | None = None, **headers: str
    ) -> HttpResponse:
        data = raw if raw is not None else (b"" if body is None else json.dumps(body).encode())
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.generic(
            method, "/api/v1" + path, data, content_type="application/json", headers={**self.headers, **named}
        )

    def get(self, path: str) -> HttpResponse:
        return self.call("GET", path)

    def post(self, path: str, body: Any = None, **more: Any) -> HttpResponse:
        return self.call("POST", path, body, **more)

    def patch(self, path: str, body: Any) -> HttpResponse:
        return self.call("PATCH", path, body)

    def put(self, path: str, body: Any) -> HttpResponse:
        return self.call("PUT", path, body)

    def delete(self, path: str) -> HttpResponse:
        return self.call("DELETE", path)


@pytest.fixture
def people(db: None) -> dict[str, User]:
    """One user of each role, named after the role."""
    return {role: User.objects.get_or_create(username=role, defaults={"role": role})[0] for role in ROLES}


@pytest.fixture
def stranger(db: None) -> Api:
    return Api(None)


@pytest.fixture
def viewer(people: dict[str, User]) -> Api:
    return Api(people["viewer"])


@pytest.fixture
def operator(people: dict[str, User]) -> Api:
    return Api(people["operator"])


@pytest.fixture
def editor(people: dict[str, User]) -> Api:
    return Api(people["editor"])


@pytest.fixture
def admin(people: dict[str, User]) -> Api:
    return Api(people["admin"])


@pytest.fixture
def make_job(db: None) -> Callable[..., Job]:
    """Stores a job; keywords replace its fields."""

    def make(**changes: Any) -> Job:
        count = Job.objects.count() + 1
        values = {"name": f"Job {count}", "slug": f"job-{count}", "language": "bash", "script": "echo hello"}
        values |= {"profile": Profile.objects.get(name="small")}
        return Job.objects.create(**{**values, **changes})

    return make


@pytest.fixture
def job(make_job: Callable[..., Job]) -> Job:
    return make_job(name="Report", slug="report", env={"REGION": "north"}, input={"day": 1})


@pytest.fixture
def run(job: Job) -> Run:
    return launch(job, get_admin())


@pytest.fixture
def nothing_stored(db: None) -> Iterator[None]:
    """Fails if the test leaves a changed or additional job, run, profile or override."""
    before = _stored()
    yield
    assert _stored() == before


def _stored() -> list[Any]:
    from cronium_admin.images.models import ImageOverride

    return [list(model.objects.order_by("pk").values()) for model in (Job, Run, Profile, ImageOverride)]
