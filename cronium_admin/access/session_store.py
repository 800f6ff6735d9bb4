"""Django's sessions in the database under a digest of their key: what lies there signs nobody in.

Only the database, no cache: a sign-out counts for all processes at once, and a Redis that is away stops no page.
"""

import hashlib
from datetime import timedelta
from typing import Any

from asgiref.sync import sync_to_async
from django.contrib.sessions.backends.db import SessionStore as DatabaseStore

from cronium_admin.database_clock import Now


def digest_of(key: str) -> str:
    """40 characters, as many as the table has room for: 160 bits of a key that is random."""
    return hashlib.blake2b(key.encode(), digest_size=20).hexdigest()


class SessionStore(DatabaseStore):
    def _get_session_from_db(self) -> Any:
        if self.session_key is None:
            return None
        found = self.model.objects.filter(session_key=digest_of(self.session_key), expire_date__gt=Now())
        row = found.first()
        if row is None:
            self._session_key = None
        return row

    async def _aget_session_from_db(self) -> Any:
        return await sync_to_async(self._get_session_from_db)()

    @classmethod
    def clear_expired(cls) -> None:
        cls.get_model_class().objects.filter(expire_date__lt=Now()).delete()

    @classmethod
    async def aclear_expired(cls) -> None:
        await sync_to_async(cls.clear_expired)()

    def exists(self, session_key: str) -> bool:
        return super().exists(digest_of(session_key))

    async def aexists(self, session_key: str) -> bool:
        return await super().aexists(digest_of(session_key))

    def create_model_instance(self, data: Any) -> Any:
        row = super().create_model_instance(data)
        row.session_key = digest_of(row.session_key)
        row.expire_date = Now() + timedelta(seconds=self.get_expiry_age())
        return row

    async def acreate_model_instance(self, data: Any) -> Any:
        row = await super().acreate_model_instance(data)
        row.session_key = digest_of(row.session_key)
        row.expire_date = Now() + timedelta(seconds=await self.aget_expiry_age())
        return row

    def delete(self, session_key: str | None = None) -> None:
        if key := session_key or self.session_key:
            super().delete(digest_of(key))

    async def adelete(self, session_key: str | None = None) -> None:
        if key := session_key or self.session_key:
            await super().adelete(digest_of(key))
