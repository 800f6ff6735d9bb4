"""An upsert stores what `bulk_create` with `update_conflicts` stores."""

import uuid
from typing import Any

import pytest
from django.db import DataError, IntegrityError, transaction

from cronium_admin.core.database.upsert import ROWS_PER_STATEMENT, Upsert
from cronium_admin.logs.models import LogChunk, LogHead
from cronium_admin.runs.models import Run

UPDATED = ["lines", "bytes", "last_ns", "index", "data"]
CHUNKS = Upsert(LogChunk, ["run", "first_seq"], UPDATED)
COLUMNS = [field.attname for field in LogChunk._meta.concrete_fields if field.attname != "id"]


def make_chunk(run: Run, first_seq: int, **columns: Any) -> LogChunk:
    given = {
        "lines": 1,
        "byte_offset": 2**40,
        "bytes": 3,
        "first_ns": 4,
        "last_ns": 5,
        "index": b"\x00%s\xff",
        "data": b"",
    }
    return LogChunk(run_id=run.pk, first_seq=first_seq, **given | columns)


def read_rows() -> list[tuple[Any, ...]]:
    rows = LogChunk.objects.order_by("first_seq").values_list(*COLUMNS)
    return [tuple(bytes(value) if isinstance(value, memoryview) else value for value in row) for row in rows]


@pytest.mark.django_db
def test_rows_are_those_of_bulk_create(run: Run) -> None:
    number = 2 * ROWS_PER_STATEMENT + 3
    first = [make_chunk(run, seq, data=bytes([seq])) for seq in range(1, number)]
    second = [make_chunk(run, seq, data=b"new", first_ns=99, object_offset=7) for seq in (1, number + 5, 2)]
    stored = []
    for use_upsert in (False, True):
        with transaction.atomic():
            for rows in (first, second):
                if use_upsert:
                    CHUNKS.execute(rows)
                else:
                    LogChunk.objects.bulk_create(
                        rows, update_conflicts=True, unique_fields=["run", "first_seq"], update_fields=UPDATED
                    )
            stored.append(read_rows())
            transaction.set_rollback(True)
            for row in (*first, *second):
                row.pk = None
    assert stored[0] == stored[1]
    assert [row[COLUMNS.index("first_ns")] for row in stored[1] if row[COLUMNS.index("data")] == b"new"] == [4, 4, 99]


@pytest.mark.django_db
def test_no_rows_are_no_query(django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        CHUNKS.execute([])


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_a_row_that_the_database_refuses_stores_none(run: Run) -> None:
    orphan = make_chunk(run, 2)
    orphan.run_id = uuid.uuid4()
    with pytest.raises(IntegrityError), transaction.atomic():
        CHUNKS.execute([make_chunk(run, 1), orphan])
    assert not LogChunk.objects.exists()


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_a_wrong_value_is_an_error(run: Run) -> None:
    heads = Upsert(LogHead, ["run"], ["lines"])
    for value, error in (("many", ValueError), (2**70, (DataError, OverflowError))):
        with pytest.raises(error), transaction.atomic():
            heads.execute([LogHead(run_id=run.pk, lines=value)])
    assert not LogHead.objects.exists()
    heads.execute([LogHead(run_id=run.pk, lines=1)])
    heads.execute([LogHead(run_id=run.pk, lines=2, bytes=9)])
    assert LogHead.objects.values_list("lines", "bytes").get() == (2, 0)
