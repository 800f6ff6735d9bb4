"""INSERT ... ON CONFLICT ... DO UPDATE for rows of one model: the statement is built once for each number of rows."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections, models
from django.db.models import Model

ROWS_PER_STATEMENT = 50  # so that no database refuses the number of parameters


class Upsert:
    """`execute` does what `bulk_create` does with `update_conflicts`, without signals, `pre_save` and returned keys.

    `unique` and `update` are names of fields. Fields with SQL of their own, as JSONField, are not supported.
    """

    def __init__(self, model: type[Model], unique: Sequence[str], update: Sequence[str]) -> None:
        self._model = model
        self._unique: list[Any] = [model._meta.get_field(name) for name in unique]
        self._update: list[Any] = [model._meta.get_field(name) for name in update]
        self._fields: list[Any] = [
            field for field in model._meta.concrete_fields if not isinstance(field, models.AutoField)
        ]
        self._find_sql = lru_cache(maxsize=2 * ROWS_PER_STATEMENT)(self._make_sql)

    def execute(self, rows: Sequence[Model]) -> None:
        connection = connections[DEFAULT_DB_ALIAS]
        for start in range(0, len(rows), ROWS_PER_STATEMENT):
            part = rows[start : start + ROWS_PER_STATEMENT]
            values = [
                field.get_db_prep_save(getattr(row, field.attname), connection)
                for row in part
                for field in self._fields
            ]
            with connection.cursor() as cursor:
                cursor.execute(self._find_sql(connection.vendor, len(part)), values)

    def _make_sql(self, vendor: str, rows: int) -> str:  # `vendor` is a key of the cache
        quote = connections[DEFAULT_DB_ALIAS].ops.quote_name
        table = quote(self._model._meta.db_table)
        columns = ", ".join(quote(field.column) for field in self._fields)
        row = f"({', '.join(['%s'] * len(self._fields))})"
        unique, update = ([quote(field.column) for field in fields] for fields in (self._unique, self._update))
        changes = ", ".join(f"{column} = EXCLUDED.{column}" for column in update)
        # Names of tables and columns only; the values are parameters.
        return (
            f"INSERT INTO {table} ({columns}) VALUES {', '.join([row] * rows)} "  # noqa: S608
            f"ON CONFLICT ({', '.join(unique)}) DO UPDATE SET {changes}"
        )
