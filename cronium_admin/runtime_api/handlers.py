"""Answers what a script asks of the runtime API through its sidecar. The run's id is the caller's proof:
a request comes over the control channel of that run's own sidecar, and over nothing else."""

import hashlib
import json
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import transaction

from cronium_admin.core import notify
from cronium_admin.core.database.clock import Now
from cronium_admin.core.errors import ApiError
from cronium_admin.runs.models import Run, Status
from cronium_admin.runtime_api.condition import set_condition
from cronium_admin.runtime_api.output import set_output
from cronium_admin.variables import service
from cronium_admin.variables.models import Receipt
from cronium_admin.variables.service import Author
from executor.spec import LeaseLost, Reply

RECEIPT_TTL = timedelta(minutes=15)  # a helper has given up long before
RECEIPT_SWEEP_INTERVAL = 200
_IDEMPOTENCY_KEY = re.compile(r"[A-Za-z0-9_.:-]{1,128}")
Body = dict[str, Any]


def handle_request(run_id: UUID, operation: str, body: Any, *, epoch: int | None = None) -> Reply:
    """The reply to one request; an unknown operation is a 404, a run that has ended a 403.

    LeaseLost when the run is not under lease `epoch` any more: then its new worker is to answer.
    """
    try:
        if not isinstance(body, dict):
            raise ApiError(400, "bad_request", "The body must be an object.")
        if operation == "get_variable":
            return Reply(data=_get_variable(run_id, body, epoch))
        if operation not in WRITES:
            raise ApiError(404, "not_found", f"There is no operation {operation[:40]!r}.")
        member, _ = WRITES[operation]
        if member not in body:
            raise ApiError(400, "bad_request", f'Send {{"{member}": VALUE}}.')
        return Reply(data=_write_once(run_id, operation, body, epoch))
    except ApiError as error:
        # To a script, what it sent is a bad request; fields of a form mean nothing to it.
        status = 400 if error.status == 422 else error.status
        return Reply(status=status, error=error.code.upper(), message=error.message)


def _get_variable(run_id: UUID, body: Body, epoch: int | None) -> dict[str, Any]:
    run = _find_running(run_id, epoch, lock=False)
    found = service.find_variable(service.resolve_key(run, _read_key(body)))
    return {"found": found is not None, "value": found.value if found else None}


def _set_variable(run: Run, body: Body) -> None:
    service.set_variable(service.resolve_key(run, _read_key(body)), body["value"], Author(run=run))


def _increment_variable(run: Run, body: Body) -> Any:
    return service.increment_variable(service.resolve_key(run, _read_key(body)), body["amount"], Author(run=run))


def _set_output(run: Run, body: Body) -> None:
    set_output(run, body["output"])
    transaction.on_commit(lambda: notify.publish_changed([run.pk]))


def _set_condition(run: Run, body: Body) -> None:
    set_condition(run, body["condition"])
    transaction.on_commit(lambda: notify.publish_changed([run.pk]))


WRITES: dict[str, tuple[str, Callable[[Run, Body], Any]]] = {
    "output": ("output", _set_output),
    "condition": ("condition", _set_condition),
    "set_variable": ("value", _set_variable),
    "increment_variable": ("amount", _increment_variable),
}


def _read_key(body: Body) -> str:
    key = body.get("key")
    if not isinstance(key, str):
        raise ApiError(400, "bad_key", "The variable's key is missing.")
    return key


def _find_running(run_id: UUID, epoch: int | None, *, lock: bool) -> Run:
    """The run, its row locked for a write: whoever ends it or takes it over waits for us, or we see that."""
    runs = Run.objects.select_for_update(of=("self",)) if lock else Run.objects
    wanted = runs.select_related("job").only("id", "number", "job_slug", "status", "lease_epoch", "job__slug")
    run = wanted.filter(pk=run_id).first()
    if run and epoch is not None and run.lease_epoch != epoch:
        raise LeaseLost
    if run is None or run.status != Status.RUNNING:
        raise ApiError(403, "run_ended", "The run has ended.")
    return run


def _write_once(run_id: UUID, operation: str, body: Body, epoch: int | None) -> Any:
    """Do it once: a repetition by the same key gets the first answer. All in one transaction, under the run's lock."""
    key = body.get("idempotency_key")
    if key is not None and not (isinstance(key, str) and _IDEMPOTENCY_KEY.fullmatch(key)):
        raise ApiError(400, "bad_idempotency_key", "The Idempotency-Key is not 1 to 128 letters, digits, '.:_-'.")
    member, write = WRITES[operation]
    what = f"{operation} {str(body.get('key', ''))[:150]}".strip()
    whole = f"{what} {_digest_value(body[member])}" if key is not None else what
    with transaction.atomic():
        run = _find_running(run_id, epoch, lock=True)
        if key is None:
            return write(run, body)
        receipt = Receipt.objects.filter(run=run, key=key).first()
        if receipt is None:
            data = write(run, body)
            _sweep_receipts(Receipt.objects.create(run=run, key=key, what=whole, answer=json.dumps(data)))
            return data
        if receipt.what not in (whole, what):  # an older version kept no digest
            used = f"{what} with another value" if receipt.what.startswith(f"{what} ") else "something else"
            text = f"This Idempotency-Key was used for {used}. Make a new one."
            raise ApiError(409, "idempotency_key_reused", text)
        return json.loads(receipt.answer)


def _digest_value(value: Any) -> str:
    """The same for values that mean the same: the order of keys makes no difference."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:24]


def _sweep_receipts(receipt: Receipt) -> None:
    """A script that writes for hours keeps the receipts of the last minutes only."""
    if receipt.pk % RECEIPT_SWEEP_INTERVAL == 0:
        Receipt.objects.filter(run_id=receipt.run_id, at__lt=Now() - RECEIPT_TTL).delete()


def delete_receipts(run_id: UUID) -> None:
    """The run has ended: nothing of it is asked again."""
    Receipt.objects.filter(run_id=run_id).delete()


def build_context(run: Run) -> dict[str, Any]:
    """The facts about a run and its job that `cronium.event()` gives."""
    by = run.created_by
    return {
        "run_id": str(run.pk),
        "number": run.number,
        "trigger": run.trigger,
        "created_at": run.created_at.isoformat(),
        "created_by": by.get_username() if by else None,
        "parent_run_id": str(run.parent_id) if run.parent_id else None,
        "job": {"slug": run.job_slug, "name": run.job_name, "revision": run.job_revision},
        "language": run.language,
        "image": run.image,
        "profile": run.profile_name,
        "limits": {"cpu": float(run.cpu), "memory_mb": run.memory_mb, "pids": run.pids},
        "timeout_seconds": run.timeout_seconds,
        "network": run.network,
    }
