"""Handles requests of scripts to the runtime API.

A request arrives over the control channel of the run's own sidecar only, so the run's id identifies the caller.
"""

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
from cronium_admin.schedules.history import find_previous_time
from cronium_admin.variables import service
from cronium_admin.variables.models import Receipt
from executor.spec import LeaseLost, Reply

RECEIPT_TTL = timedelta(minutes=15)  # helpers stop retrying long before
RECEIPT_SWEEP_INTERVAL = 200
_IDEMPOTENCY_KEY = re.compile(r"[A-Za-z0-9_.:-]{1,128}")
Body = dict[str, Any]


def handle_request(run_id: UUID, operation: str, body: Any, *, epoch: int | None = None) -> Reply:
    """Returns the reply to one request: 404 for an unknown operation, 403 if the run has ended.

    Raises LeaseLost if the run is no longer under lease `epoch`; then its new worker must reply.
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
        # Scripts get 400 for invalid values, without the errors by form field.
        status = 400 if error.status == 422 else error.status
        return Reply(status=status, error=error.code.upper(), message=error.message)


def _get_variable(run_id: UUID, body: Body, epoch: int | None) -> dict[str, Any]:
    run = _find_running(run_id, epoch, lock=False)
    variable = service.find_variable(service.resolve_key(run, _read_key(body)))
    return {"found": variable is not None, "value": variable.value if variable else None}


def _set_variable(run: Run, body: Body) -> None:
    service.set_variable(service.resolve_key(run, _read_key(body)), body["value"], run)


def _increment_variable(run: Run, body: Body) -> Any:
    return service.increment_variable(service.resolve_key(run, _read_key(body)), body["amount"], run)


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
        raise ApiError(400, "bad_key", "The key of the variable is missing.")
    return key


def _find_running(run_id: UUID, epoch: int | None, *, lock: bool) -> Run:
    # The running run. `lock` locks its row for a write, so that no process ends or takes over the run at the same
    # time.
    runs = Run.objects.select_for_update(of=("self",)) if lock else Run.objects
    columns = ("id", "project", "number", "job_slug", "status", "lease_epoch", "job__slug", "job__project")
    selected = runs.select_related("job").only(*columns)
    run = selected.filter(pk=run_id).first()
    if run and epoch is not None and run.lease_epoch != epoch:
        raise LeaseLost
    if run is None or run.status != Status.RUNNING:
        raise ApiError(403, "run_ended", "The run has ended.")
    return run


def _write_once(run_id: UUID, operation: str, body: Body, epoch: int | None) -> Any:
    # Executes a write once: a repetition with the same key gets the first answer. One transaction, under the run's
    # lock.
    key = body.get("idempotency_key")
    if key is not None and not (isinstance(key, str) and _IDEMPOTENCY_KEY.fullmatch(key)):
        raise ApiError(
            400, "bad_idempotency_key", "The Idempotency-Key must be 1 to 128 characters: letters, digits and '.:_-'."
        )
    member, write = WRITES[operation]
    operation_key = f"{operation} {str(body.get('key', ''))[:150]}".strip()
    operation_digest = f"{operation_key} {_digest_value(body[member])}" if key is not None else operation_key
    with transaction.atomic():
        run = _find_running(run_id, epoch, lock=True)
        if key is None:
            return write(run, body)
        receipt = Receipt.objects.filter(run=run, key=key).first()
        if receipt is None:
            data = write(run, body)
            _sweep_receipts(Receipt.objects.create(run=run, key=key, what=operation_digest, answer=json.dumps(data)))
            return data
        if receipt.what not in (operation_digest, operation_key):  # older versions stored no digest
            used = (
                f"{operation_key} with another value"
                if receipt.what.startswith(f"{operation_key} ")
                else "something else"
            )
            text = f"This Idempotency-Key was used for {used}. Use a new key."
            raise ApiError(409, "idempotency_key_reused", text)
        return json.loads(receipt.answer)


def _digest_value(value: Any) -> str:
    # Equal for equivalent values: the order of keys is ignored
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:24]


def _sweep_receipts(receipt: Receipt) -> None:
    # Deletes old receipts now and then, so that a script that writes for hours does not fill the table
    if receipt.pk % RECEIPT_SWEEP_INTERVAL == 0:
        Receipt.objects.filter(run_id=receipt.run_id, at__lt=Now() - RECEIPT_TTL).delete()


def delete_receipts(run_id: UUID) -> None:
    Receipt.objects.filter(run_id=run_id).delete()


def build_context(run: Run) -> dict[str, Any]:
    by = run.created_by
    previous = find_previous_time(run) if run.scheduled_for else None
    return {
        "run_id": str(run.pk),
        "number": run.number,
        "trigger": run.trigger,
        "attempt": run.attempt,
        "max_attempts": run.max_attempts,
        "scheduled_for": run.scheduled_for.isoformat() if run.scheduled_for else None,
        "previous_scheduled_for": previous.isoformat() if previous else None,
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
