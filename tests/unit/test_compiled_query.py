"""Compiled queries give what their querysets give, and refuse what they can't do."""

import threading
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.db.models import F, Value
from django.db.models.expressions import RawSQL
from django.db.models.functions import Lower

from cronium_admin.core.database.clock import Now
from cronium_admin.core.database.compiled import CompiledQuery
from cronium_admin.jobs.models import Job
from cronium_admin.profiles.models import Profile
from cronium_admin.runs.models import Run

SLUG, PK = Job._meta.get_field("slug"), Job._meta.pk


@pytest.fixture
def jobs(make_job: Callable[..., Job]) -> list[Job]:
    return [make_job(slug=f"job-{letter}", env={"A": letter}, tags=[letter]) for letter in "abc"]


def test_rows_are_those_of_the_queryset_with_all_columns_and_joined_rows(
    jobs: list[Job], django_assert_num_queries: Any
) -> None:
    query = CompiledQuery(
        lambda slug: Job.objects.select_related("profile", "created_by").filter(slug=slug).annotate(asked_at=Now()),
        slug=SLUG,
    )
    for job in (*jobs, *jobs[::-1]):
        with django_assert_num_queries(1):
            [found] = query.fetch(slug=job.slug)
            assert found.profile == job.profile
        [plain] = Job.objects.filter(slug=job.slug)
        names = [field.attname for field in Job._meta.concrete_fields]
        assert [getattr(found, name) for name in names] == [getattr(plain, name) for name in names]
        assert found.asked_at.tzinfo is not None
        found.save()  # a row as any other
    assert query.fetch(slug="other") == []
    assert query.fetch_first(slug="other") is None


def test_tuples_values_and_order(jobs: list[Job]) -> None:
    pairs = CompiledQuery(
        lambda pk, suffix: (
            Job.objects.filter(pk__gte=pk)
            .order_by("-slug")
            .annotate(suffix=Value(suffix))
            .values_list("slug", "suffix", "profile__cpu", Now() - F("created_at"))
        ),
        pk=PK,
        suffix=SLUG,
    )
    for first in range(3):
        rows = pairs.fetch(pk=jobs[first].pk, suffix=f"s{first}")
        assert [row[0] for row in rows] == [job.slug for job in jobs[first:][::-1]]
        assert {row[1:3] for row in rows} == {(f"s{first}", Profile.objects.get(name="small").cpu)}
    flat = CompiledQuery(lambda slug: Job.objects.filter(slug=slug).values_list("tags", flat=True), slug=SLUG)
    assert flat.fetch(slug="job-b") == [["b"]]


def test_a_value_is_only_a_value(jobs: list[Job]) -> None:
    query = CompiledQuery(lambda slug: Job.objects.filter(slug=slug).values_list("slug", flat=True), slug=SLUG)
    for text in ("' OR 1=1 --", "%s", "%", "job-a'; DROP TABLE jobs_job; --", ""):
        assert query.fetch(slug=text) == []
    assert query.fetch(slug="job-a") == ["job-a"]
    by_id = CompiledQuery(lambda pk: Run.objects.filter(pk=pk), pk=Run._meta.pk)
    assert by_id.fetch(pk=uuid.uuid4()) == []


@pytest.mark.usefixtures("jobs")
def test_it_is_compiled_once() -> None:
    built = []

    def build(slug: str) -> Any:
        built.append(slug)
        return Job.objects.filter(slug=slug)

    query = CompiledQuery(build, slug=SLUG)
    assert [query.fetch(slug=f"job-{letter}")[0].slug for letter in "abca"] == ["job-a", "job-b", "job-c", "job-a"]
    assert len(built) == 1


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_threads_use_their_own_connections(make_job: Callable[..., Job]) -> None:
    jobs = [make_job(slug=f"job-{number}") for number in range(4)]
    query, found = CompiledQuery(lambda slug: Job.objects.filter(slug=slug), slug=SLUG), dict[str, list[Job]]()

    def read(job: Job) -> None:
        for _ in range(20):
            found[job.slug] = query.fetch(slug=job.slug)
        connection.close()

    threads = [threading.Thread(target=read, args=[job]) for job in jobs]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert found == {job.slug: [job] for job in jobs}


@pytest.mark.django_db
def test_a_value_that_the_sql_changes_or_lacks_is_refused() -> None:
    with pytest.raises(TypeError, match="not a parameter of the query: slug"):
        CompiledQuery(lambda slug: Job.objects.filter(slug__contains=slug), slug=SLUG).fetch(slug="a")
    with pytest.raises(TypeError, match="not a parameter of the query: slug"):
        CompiledQuery(lambda slug: Job.objects.all(), slug=SLUG).fetch(slug="a")
    with pytest.raises(TypeError, match="prefetch_related"):
        CompiledQuery(lambda slug: Job.objects.filter(slug=slug).prefetch_related("runs"), slug=SLUG).fetch(slug="a")
    with pytest.raises(TypeError, match="no marker"):
        CompiledQuery(lambda at: Job.objects.filter(created_at=at), at=Job._meta.get_field("created_at")).fetch(at=1)


class Wide(int):
    """A number with another type of the database, as psycopg has them."""


@pytest.mark.django_db
def test_a_number_with_two_types_and_none_are_refused() -> None:
    seconds = Job._meta.get_field("timeout_seconds")
    both = CompiledQuery(
        lambda seconds: Job.objects.filter(timeout_seconds=seconds).annotate(wide=RawSQL("%s", [Wide(seconds)])),
        seconds=seconds,
    )
    with pytest.raises(TypeError, match="with two types"):
        both.fetch(seconds=1)
    with pytest.raises(ValueError, match="None"):
        CompiledQuery(lambda seconds: Job.objects.filter(timeout_seconds=seconds), seconds=seconds).fetch(seconds=None)


@pytest.mark.django_db
def test_an_equal_parameter_of_another_type_is_no_value(monkeypatch: pytest.MonkeyPatch) -> None:
    """The marker of a decimal number may be 1.00, which equals a True or a 1 of the query."""
    monkeypatch.setattr("cronium_admin.core.database.compiled.secrets.randbelow", lambda _: 100)
    query = CompiledQuery(
        lambda cpu: Profile.objects.filter(cpu=cpu).annotate(one=Value(1)).values_list("one", flat=True),
        cpu=Profile._meta.get_field("cpu"),
    )
    small = Profile.objects.get(name="small")
    assert set(query.fetch(cpu=small.cpu)) == {1}


@pytest.mark.usefixtures("jobs")
def test_expressions_keep_their_fixed_parameters() -> None:
    lowered = Lower(Value("JOB-B"))
    query = CompiledQuery(lambda pk: Job.objects.filter(pk__gte=pk, slug=lowered), pk=PK)
    assert [job.slug for job in query.fetch(pk=1)] == ["job-b"]
