"""Idempotency keys of launches: the same request with the same key returns the same run."""

from dataclasses import dataclass
from typing import Any

from cronium_admin.accounts.models import User
from cronium_admin.core.errors import ApiError
from cronium_admin.jobs.models import Job
from cronium_admin.runs.models import Run


@dataclass(frozen=True)
class IdempotencyRecord:
    """An idempotency key of a user, and the digest of the request sent with it."""

    key: str
    by: User
    digest: str

    @property
    def columns(self) -> dict[str, Any]:
        return {"idempotency_key": self.key, "idempotency_by": self.by.pk}

    def find_run(self, job: Job | None) -> Run | None:
        """The run of `job` created with this key. Raises ApiError 409 if another request created it.

        `job` is None for runs of deleted jobs.
        """
        earlier = Run.objects.select_related("revision").filter(job=job, **self.columns).first()
        if earlier and earlier.request_digest not in ("", self.digest):
            text = (
                f"This Idempotency-Key already created the run {earlier.pk} (#{earlier.number}) from another request. "
                "Send the same body to get that run, or use a new key."
            )
            raise ApiError(409, "idempotency_key_reused", text, {"Idempotency-Key": [text]})
        return earlier
