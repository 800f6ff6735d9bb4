"""The archive in a bucket, over HTTP: the same log before, during and after, multipart uploads, failures, no leftovers.

The service is moto's stand-in server on loopback, which implements S3's protocol: see tests/fakes/s3. Other services
are not tested.
"""

import hashlib
import random
from collections.abc import Callable, Iterator
from datetime import timedelta
from io import BytesIO, StringIO
from typing import Any

import pytest
from botocore.exceptions import ClientError
from django.core.management import CommandError, call_command

from cronium_admin.jobs.models import Job
from cronium_admin.logs import read
from cronium_admin.logs.archive import archiver, objects, upload
from cronium_admin.logs.archive.block_cache import block_cache
from cronium_admin.logs.models import LogChunk, LogHead, LogObject
from cronium_admin.logs.retention import prune
from cronium_admin.logs.storage import base
from cronium_admin.logs.storage import s3 as s3_storage
from cronium_admin.logs.storage.base import ObjectMissing, StorageUnavailable, open_backend
from cronium_admin.logs.storage.s3 import S3Backend
from cronium_admin.logs.throttle import Throttle
from cronium_admin.runs.launch import launch
from cronium_admin.runs.models import Run
from cronium_admin.workers.health.checks.log_storage import check_log_storage
from tests.conftest import Api
from tests.fakes import s3
from tests.unit.log_storage import FOREVER, Killed, dying_at, give_log, text_of, whole
from tests.unit.test_logs_whole import body_of
from tests.users import get_admin

pytestmark = pytest.mark.django_db(transaction=True, serialized_rollback=True)
TEXT = text_of(120)
STEPS = [(S3Backend, name) for name in ("write_object", "read_range", "fetch_size", "delete_object")]


@pytest.fixture(scope="module")
def service() -> Iterator[s3.Service]:
    with s3.service() as made:
        yield made


@pytest.fixture
def bucket(service: s3.Service, settings: Any, monkeypatch: pytest.MonkeyPatch) -> s3.Service:
    changes = {
        **FOREVER,
        "log_storage": f"s3://{s3.BUCKET}/some/where",
        "log_s3_endpoint": service.endpoint,
        "log_s3_region": "us-east-1",
        "log_s3_access_key": s3.KEYS["aws_access_key_id"],
        "log_s3_secret_key": s3.KEYS["aws_secret_access_key"],
    }
    settings.CONFIG = settings.CONFIG.model_copy(update=changes)
    monkeypatch.setattr("cronium_admin.logs.throttle.MIN_PAUSE_SECONDS", 0)
    monkeypatch.setattr("cronium_admin.logs.throttle.PAUSE_FACTOR", 0)
    monkeypatch.setattr(archiver, "BATCH_SIZE", 3)
    monkeypatch.setattr(upload, "BATCH_SIZE", 3)
    monkeypatch.setattr(base, "OPEN_SECONDS", 0.0)
    block_cache.clear()
    service.empty()
    return service


@pytest.fixture
def ended(job: Job) -> Callable[..., Run]:
    return lambda text=TEXT: give_log(launch(job, get_admin()), text, 10, timedelta(hours=50))


def move() -> list[str]:
    return [one.name for one in archiver.archive_due_logs(Throttle())]


def test_a_log_moves_to_the_bucket_and_reads_the_same(bucket: s3.Service, ended: Any, viewer: Api) -> None:
    run = ended()
    before = viewer.get(f"/runs/{run.pk}/logs?q=11").json()
    assert move() == ["report #1"]
    (stored,) = LogObject.objects.all()
    (key,) = bucket.keys()
    assert key == f"some/where/{stored.name}"
    assert not LogChunk.objects.filter(object_offset=None).exists()
    assert whole(run) == TEXT
    assert viewer.get(f"/runs/{run.pk}/logs?q=11").json() == before
    assert body_of(viewer.get(f"/runs/{run.pk}/logs.txt")) == TEXT
    part = viewer.call("GET", f"/runs/{run.pk}/logs.txt", Range="bytes=900-999")
    assert (part.status_code, body_of(part)) == (206, TEXT[900:1000])


def test_a_log_is_whole_after_a_death_at_any_step_and_then_moves(
    bucket: s3.Service, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "CLAIM_DURATION", timedelta(seconds=-1))
    step, died = 0, True
    while died:
        step, died = step + 1, False
        run = give_log(launch(job, get_admin()), TEXT, 30, timedelta(hours=50))
        with dying_at(step, monkeypatch, *STEPS):
            try:
                move()
            except Killed:
                died = True
        assert whole(run) == TEXT
        move()
        objects.delete_unwanted(Throttle())
        assert whole(run) == TEXT
        assert hashlib.sha256(whole(run)).hexdigest() == run.log_digest
        assert len(bucket.keys()) == LogObject.objects.count() == step
    assert step > 15


def test_the_removal_of_an_archived_log_survives_a_death_at_any_step(
    bucket: s3.Service, job: Job, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    step, died = 0, True
    while died:
        step, died = step + 1, False
        settings.CONFIG = settings.CONFIG.model_copy(update=FOREVER)
        run = give_log(launch(job, get_admin()), TEXT, 60, timedelta(days=3))
        move()
        settings.CONFIG = settings.CONFIG.model_copy(update={"log_keep_days": 1})
        with dying_at(step, monkeypatch, *STEPS):
            try:
                list(prune.prune_due_logs(Throttle()))
                objects.delete_unwanted(Throttle())
            except Killed:
                died = True
        state = read.read_state(run.pk)
        assert state is not None
        assert state.pruned or whole(run) == TEXT
        list(prune.prune_due_logs(Throttle()))
        objects.delete_unwanted(Throttle())
        assert (LogChunk.objects.count(), LogHead.objects.count(), LogObject.objects.count()) == (0, 0, 0)
        assert bucket.keys() == []
    assert step > 10


@pytest.fixture(scope="module")
def large() -> bytes:
    """About 20 MB that do not compress, so that the upload has several parts."""
    rng = random.Random(3)
    return b"".join(rng.randbytes(2000).replace(b"\n", b"") + b"\n" for _ in range(10_000))


def test_a_large_log_goes_up_in_parts(bucket: s3.Service, job: Job, large: bytes) -> None:
    run = give_log(launch(job, get_admin()), large, 100, timedelta(hours=50))
    assert move() == ["report #1"]
    (key,) = bucket.keys()
    assert bucket.client.head_object(Bucket=s3.BUCKET, Key=key)["ETag"].endswith('-3"'), "three parts"
    assert b"".join(read.read_text(run.pk)) == large
    assert bucket.uploads() == []


def test_what_a_killed_process_had_uploaded_in_parts_is_given_up(
    bucket: s3.Service, job: Job, large: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "CLAIM_DURATION", timedelta(seconds=-1))
    run = give_log(launch(job, get_admin()), large, 100, timedelta(hours=50))
    left = objects.claim_object(run.pk, f"s3://{s3.BUCKET}/some/where")
    assert left is not None
    key = f"some/where/{left.name}"
    begun = bucket.client.create_multipart_upload(Bucket=s3.BUCKET, Key=key)["UploadId"]
    bucket.client.upload_part(
        Bucket=s3.BUCKET, Key=key, PartNumber=1, UploadId=begun, Body=large[: s3_storage.PART_BYTES]
    )
    assert bucket.uploads() == [key]
    assert move() == ["report #1"]
    assert objects.delete_unwanted(Throttle()) == (1, set())
    assert bucket.uploads() == []
    assert len(bucket.keys()) == 1


def test_a_service_that_is_away_is_said_in_words_and_nothing_is_lost(
    ended: Any, viewer: Api, settings: Any, bucket: s3.Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, other = ended(), ended()
    assert move() == ["report #1", "report #2"]
    third = ended()
    block_cache.clear()
    nobody = f"http://127.0.0.1:{s3.free_port()}"
    here = settings.CONFIG
    settings.CONFIG = here.model_copy(update={"log_s3_endpoint": nobody, "log_keep_days": 0})
    answer = viewer.get(f"/runs/{run.pk}/logs")
    assert (answer.status_code, answer.json()["code"]) == (503, "log_storage_unavailable")
    with pytest.raises(CommandError, match=r"The storage s3://cronium-logs/some/where fails: Could not connect"):
        call_command("logs", "archive", stdout=StringIO())
    assert LogChunk.objects.filter(run=third, object_offset=None).count() == 12
    settings.CONFIG = settings.CONFIG.model_copy(update={"log_keep_days": 1})
    Run.objects.filter(pk=other.pk).update(log_pruned_at=None)
    list(prune.prune_due_logs(Throttle()))
    assert objects.delete_unwanted(Throttle()) == (0, {f"s3://{s3.BUCKET}/some/where"})
    assert LogObject.objects.filter(state="unwanted").count() == 3, "they are not forgotten"
    settings.CONFIG = here
    assert objects.delete_unwanted(Throttle()) == (3, set())
    assert bucket.keys() == []


@pytest.mark.parametrize("url", ["s3://no-such-bucket", f"s3://{s3.BUCKET}"])
def test_what_is_not_there_is_not_there(bucket: s3.Service, url: str) -> None:
    store = open_backend(url)
    with pytest.raises(StorageUnavailable) as told:
        store.read_range("none", 0, 10)
    assert isinstance(told.value, ObjectMissing) == (url == f"s3://{s3.BUCKET}")
    with pytest.raises(StorageUnavailable):
        store.fetch_size("none")


def test_a_part_past_the_end_is_missing_and_one_over_it_is_short(bucket: s3.Service) -> None:
    store = open_backend(f"s3://{s3.BUCKET}/x")
    store.write_object("a/b", BytesIO(b"0123456789"))
    assert bucket.keys() == ["x/a/b"]
    assert (store.read_range("a/b", 3, 4), store.read_range("a/b", 8, 100), store.fetch_size("a/b")) == (
        b"3456",
        b"89",
        10,
    )
    with pytest.raises(ObjectMissing):
        store.read_range("a/b", 10, 1)
    for _ in range(2):
        store.delete_object("a/b")
    assert bucket.keys() == []


def test_without_keys_in_the_settings_the_environments_are_taken(
    bucket: s3.Service, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in s3.KEYS.items():
        monkeypatch.setenv(name.upper(), value)
    none = {"log_s3_access_key": "", "log_s3_secret_key": "", "log_s3_region": ""}
    settings.CONFIG = settings.CONFIG.model_copy(update=none)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    store = open_backend(f"s3://{s3.BUCKET}/env")
    store.write_object("a", BytesIO(b"1"))
    assert bucket.keys() == ["env/a"]


def test_who_may_not_look_for_uploads_that_were_begun_deletes_all_the_same(
    bucket: s3.Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = S3Backend(f"s3://{s3.BUCKET}", bucket.endpoint, "us-east-1", "for-tests", "for-tests-only")

    def denied(**_: Any) -> Any:
        raise ClientError({"Error": {"Code": "AccessDenied"}}, "ListMultipartUploads")

    monkeypatch.setattr(store._client, "list_multipart_uploads", denied)
    store.write_object("a", BytesIO(b"1"))
    store.delete_object("a")
    assert bucket.keys() == []


def test_doctor_tries_it_and_leaves_nothing(bucket: s3.Service, settings: Any) -> None:
    patient: Any = None
    (row,) = check_log_storage(patient)
    assert (row.state, row.found) == ("ok", f"s3://{s3.BUCKET}/some/where: an object was written, read and deleted")
    assert bucket.keys() == []
    settings.CONFIG = settings.CONFIG.model_copy(update={"log_storage": "s3://no-such-bucket"})
    (row,) = check_log_storage(patient)
    assert row.state == "failed"
    assert "NoSuchBucket" in row.found
    assert "PutObject" in row.found, "what was tried first"
    settings.CONFIG = settings.CONFIG.model_copy(update={"log_storage": ""})
    (row,) = check_log_storage(patient)
    assert (row.state, row.found) == ("ok", "Logs stay in the database")
