"""The database backend that Django loads for `ENGINE`: PostgreSQL with a connection pool that checks itself."""

from collections.abc import Callable
from typing import Any

from django.db.backends.base.base import NO_DB_ALIAS
from django.db.backends.postgresql import base
from psycopg import Connection
from psycopg_pool import ConnectionPool


class DatabaseWrapper(base.DatabaseWrapper):
    """One broken connection causes a check of the whole pool, because a restarted server breaks all connections.

    psycopg's pool finds broken connections one at a time and waits 0, 1, 2, 4, ... seconds after each; with six of
    them a request fails.
    """

    # Attributes of Django's class that its type stubs lack.
    _connection_pools: dict[str, Any]
    _configure_connection: Callable[[Any], None]

    @property
    def pool(self) -> Any:
        options = self.settings_dict["OPTIONS"].get("pool")
        if options and self.alias not in (NO_DB_ALIAS, *self._connection_pools):
            self._connection_pools.setdefault(self.alias, self._make_pool(options))
        return super().pool

    def _make_pool(self, options: dict[str, Any]) -> ConnectionPool[Connection[Any]]:
        def check(connection: Connection[Any]) -> None:
            try:
                ConnectionPool.check_connection(connection)
            except Exception:
                pool.check()
                raise

        pool: ConnectionPool[Connection[Any]] = ConnectionPool(
            kwargs={**self.get_connection_params(), "autocommit": True},
            open=False,
            configure=self._configure_connection,
            check=check,
            **options,
        )
        return pool
