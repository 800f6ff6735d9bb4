"""SELECTs that Django compiles once. Compiling one takes Django 2 to 5 ms, the database much less to answer it."""

import copy
import secrets
import uuid
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any, Generic, TypeVar

from django.db import DEFAULT_DB_ALIAS, connections, models
from django.db.models import Field, QuerySet

Row = TypeVar("Row")


class CompiledQuery(Generic[Row]):
    """A query whose values change from call to call, and nothing else.

    `build` returns the queryset; it gets one value for each name in `fields`, which gives the type of the value. It is
    called once for each database vendor: what it reads from elsewhere stays as it was then. Each value must appear as
    a parameter of the SQL, unchanged: a lookup such as `contains` changes it. `prefetch_related` is not supported.
    Fetch a queryset with `select_for_update` in a transaction: Django checks that only when it compiles.
    """

    def __init__(self, build: Callable[..., QuerySet[Any, Row]], **fields: "Field[Any, Any]") -> None:
        self._build, self._fields = build, fields
        self._compiled: dict[str, _CompiledSelect] = {}

    def fetch(self, **values: Any) -> list[Row]:
        """The rows, as the queryset would return them."""
        connection = connections[DEFAULT_DB_ALIAS]
        compiled = self._compiled.get(connection.vendor)
        if compiled is None:
            compiled = self._compiled[connection.vendor] = self._compile(connection)
        given = {name: _prepare(field, values[name], connection) for name, field in self._fields.items()}
        if None in given.values():
            raise ValueError("a value is None: SQL compares that with IS NULL")
        return list(compiled.iterate(connection, given))

    def fetch_first(self, **values: Any) -> Row | None:
        """The first row, or None. The queryset should be limited to one row."""
        rows = self.fetch(**values)
        return rows[0] if rows else None

    def _compile(self, connection: Any) -> "_CompiledSelect":
        markers = {name: _make_marker(field) for name, field in self._fields.items()}
        return _CompiledSelect(
            self._build(**markers),
            connection,
            {name: _prepare(field, markers[name], connection) for name, field in self._fields.items()},
        )


def _prepare(field: "Field[Any, Any]", value: Any, connection: Any) -> Any:
    return field.get_db_prep_value(value, connection)


def _make_marker(field: "Field[Any, Any]") -> Any:
    if isinstance(field, models.UUIDField):
        return uuid.uuid4()
    if isinstance(field, models.IntegerField):
        return 1_000_000_000 + secrets.randbelow(1_000_000_000)
    if isinstance(field, models.DecimalField):
        return Decimal(secrets.randbelow(10**field.max_digits)).scaleb(-field.decimal_places)
    if isinstance(field, (models.CharField, models.TextField)):
        return secrets.token_hex(16)
    raise TypeError(f"no marker for the type of {field}")


class _CompiledSelect:
    def __init__(self, rows: QuerySet[Any], connection: Any, markers: dict[str, Any]) -> None:
        if rows._prefetch_related_lookups:  # type: ignore[attr-defined]
            raise TypeError("prefetch_related is not supported")
        self._iterable: Any = rows._iterable_class
        self._query = rows.query
        self._compiler = rows.query.get_compiler(connection=connection)
        self._sql, params = self._compiler.as_sql()
        self._compiler.connection = None  # each use has the connection of its thread
        # By type too: 1, True and Decimal("1.00") are equal.
        names = {(type(marker), marker): name for name, marker in markers.items()}
        # Names of values, and the other parameters, which stay.
        self._params = [(names.get((type(param), param)) if _is_hashable(param) else None, param) for param in params]
        if missing := markers.keys() - {name for name, _ in self._params}:
            raise TypeError(f"not a parameter of the query: {', '.join(sorted(missing))}")
        numbers = {marker for marker in markers.values() if isinstance(marker, int)}
        if any(
            name is None and type(param) is not bool and param in numbers
            for name, param in self._params
            if _is_hashable(param)
        ):
            raise TypeError("a number appears in the query with two types")

    def iterate(self, connection: Any, values: dict[str, Any]) -> Iterable[Any]:
        compiler = copy.copy(self._compiler)
        compiler.connection = connection
        params = tuple(param if name is None else values[name] for name, param in self._params)
        compiler.as_sql = lambda *_, **__: (self._sql, params)
        rows: Iterable[Any] = self._iterable(_Rows(self._query, compiler))
        return rows


def _is_hashable(value: Any) -> bool:
    return getattr(value, "__hash__", None) is not None


class _Rows:
    """What Django's iterables read of a QuerySet and its Query."""

    _known_related_objects: dict[Any, Any] = {}
    _fields = None
    db = DEFAULT_DB_ALIAS

    def __init__(self, query: Any, compiler: Any) -> None:
        self._query, self._compiler = query, compiler

    @property
    def query(self) -> "_Rows":
        return self

    def get_compiler(self, *_: Any, **__: Any) -> Any:
        return self._compiler

    def __getattr__(self, name: str) -> Any:
        return getattr(self._query, name)
