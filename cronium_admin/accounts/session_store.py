"""Stores Django's sessions in the database under a digest of their key: the stored value can't be used to sign in.

Uses the database only, no cache: a sign-out takes effect in all processes at once, and pages work without Redis.
"""

import hashlib
from datetime import timedelta
from typing import Any

from asgiref.sync import sync_to_async
from django.contrib.sessions.backends.base import UpdateError
from django.contrib.sessions.backends.db import SessionStore as DatabaseStore

from cronium_admin.core.database.clock import Now, database_now
from cronium_admin.core.database.outage import is_outage


def digest_session_key(key: str) -> str:
    # 40 hex characters, the width of the column: 160 bits of a random key
    return hashlib.blake2b(key.encode(), digest_size=20).hexdigest()


def _raise_outage(error: UpdateError) -> None:
    # Django treats every error of an update as a session that was ended in the meantime
    if error.__context__ is not None and is_outage(error.__context__):
        raise error.__context__


class SessionStore(DatabaseStore):
    def _get_session_from_db(self) -> Any:
        if self.session_key is None:
            return None
        sessions = self.model.objects.filter(session_key=digest_session_key(self.session_key), expire_date__gt=Now())
        row = sessions.first()
        if row is None:
            self._session_key = None
        return row

    async def _aget_session_from_db(self) -> Any:
        return await sync_to_async(self._get_session_from_db)()

    def get_expiry_age(self, **facts: Any) -> int:
        # Seconds until a fixed expiry time, by the database's clock, which also set that time
        return super().get_expiry_age(**{"modification": database_now(), **facts})

    async def aget_expiry_age(self, **facts: Any) -> int:
        return await sync_to_async(self.get_expiry_age)(**facts)

    @classmethod
    def clear_expired(cls) -> None:
        cls.get_model_class().objects.filter(expire_date__lt=Now()).delete()

    @classmethod
    async def aclear_expired(cls) -> None:
        await sync_to_async(cls.clear_expired)()

    def exists(self, session_key: str) -> bool:
        return super().exists(digest_session_key(session_key))

    async def aexists(self, session_key: str) -> bool:
        return await super().aexists(digest_session_key(session_key))

    def create_model_instance(self, data: Any) -> Any:
        row = super().create_model_instance(data)
        row.session_key = digest_session_key(row.session_key)
        row.expire_date = Now() + timedelta(seconds=self.get_expiry_age())
        return row

    async def acreate_model_instance(self, data: Any) -> Any:
        row = await super().acreate_model_instance(data)
        row.session_key = digest_session_key(row.session_key)
        row.expire_date = Now() + timedelta(seconds=await self.aget_expiry_age())
        return row

    def save(self, must_create: bool = False) -> None:
        try:
            super().save(must_create)
        except UpdateError as error:
            _raise_outage(error)
            raise

    async def asave(self, must_create: bool = False) -> None:
        try:
            await super().asave(must_create)
        except UpdateError as error:
            _raise_outage(error)
            raise

    def delete(self, session_key: str | None = None) -> None:
        if key := session_key or self.session_key:
            super().delete(digest_session_key(key))

    async def adelete(self, session_key: str | None = None) -> None:
        if key := session_key or self.session_key:
            await super().adelete(digest_session_key(key))
