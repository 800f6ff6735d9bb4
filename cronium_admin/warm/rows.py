"""Every change of the rows of waiting sandboxes: a conditional UPDATE, or the deletion of a row that promises nothing.

    (insert) building -> ready -> taken
             building | ready -> gone

A launch takes a row in the transaction that creates its run: both are committed, or neither. All other changes are
made by the host's worker, under its name as the row's owner.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Case, Exists, F, OuterRef, Q, QuerySet, Value, When
from django.db.models.functions import StrIndex
from django.db.models.lookups import GreaterThan

from cronium_admin.core.database.clock import Now
from cronium_admin.core.database.compiled import CompiledQuery
from cronium_admin.warm.models import Kind, State, WarmSandbox
from cronium_admin.warm.shapes import SHAPE_COLUMNS
from executor import failpoints

PROMISE_DURATION = timedelta(seconds=2)  # how long other hosts leave a run to the host of the sandbox that it took
_TRIES = 3
# The row's owner leads its host at this moment, and the host takes runs.
_IS_SERVED = Q(host__owner=F("owner"), host__lease_expires_at__gt=Now(), host__draining=False, host__unsafe=False)


@dataclass(frozen=True)
class TakenSandbox:
    id: UUID
    host: str


def is_enabled() -> bool:
    """Whether this installation keeps sandboxes ready (CRONIUM_WARM)."""
    return settings.CONFIG.warm_limit != 0


def take(columns: Mapping[str, Any]) -> TakenSandbox | None:
    """Takes a waiting sandbox for a run with these columns; None if there is none. Call it in the transaction that
    creates the run, with the sandbox's id as the run's id."""
    if not is_enabled():
        return None
    for _ in range(_TRIES):
        row = _find_candidate(columns)
        if row is None:
            return None
        ready = WarmSandbox.objects.filter(pk=row[0], state=State.READY)
        if ready.update(state=State.TAKEN, taken_at=Now()):
            transaction.on_commit(lambda: failpoints.hit("warm-taken"))
            return TakenSandbox(row[0], str(row[1]))
    return None


def _find_candidate(columns: Mapping[str, Any]) -> tuple[UUID, str] | None:
    values = {name: columns[name] for name in SHAPE_COLUMNS if name != "read_only_root"}
    if digest := columns.get("image_digest"):  # a rerun, with the exact image
        values["image_id"] = digest
    query = _compile_candidates(columns["read_only_root"], bool(digest))
    found: tuple[UUID, str] | None = query.fetch_first(queue=f",{columns['queue']},", **values)
    return found


@cache
def _compile_candidates(read_only_root: bool, has_digest: bool) -> CompiledQuery[Any]:
    names = ["queues", *(name for name in SHAPE_COLUMNS if name != "read_only_root"), *["image_id"][:has_digest]]
    fields: dict[str, Any] = {name: WarmSandbox._meta.get_field(name) for name in names}
    return CompiledQuery(
        lambda queue, **shape: _select_candidates(queue, {**shape, "read_only_root": read_only_root}),
        queue=fields.pop("queues"),
        **fields,
    )


def _select_candidates(queue: str, shape: Mapping[str, Any]) -> "QuerySet[WarmSandbox, Any]":
    # Whole sandboxes first, then the newest: an older one may be retired soon.
    whole = Q(kind=Kind.WHOLE, **shape)
    stem = Q(kind=Kind.STEM, network=shape["network"], runtime=shape["runtime"])
    serves = GreaterThan(StrIndex("queues", Value(queue)), 0)
    rows = WarmSandbox.objects.filter(whole | stem, _IS_SERVED, serves, state=State.READY, is_takeable=True)
    rows = rows.order_by("-kind", "-ready_at", "-pk")
    if connection.features.has_select_for_update_skip_locked:
        # Of two launches at once, each looks at another row; neither waits for the other.
        rows = rows.select_for_update(skip_locked=True, of=("self",))
    return rows.values_list("pk", "host_id")[:1]


def is_promised_elsewhere(host: str) -> Q:
    """A condition on runs: the run has taken a sandbox of another host, which may still claim it."""
    kept = WarmSandbox.objects.filter(_IS_SERVED, pk=OuterRef("pk"), state=State.TAKEN)
    return Q(warm_until__isnull=False, warm_until__gt=Now()) & ~Q(warm_host=host) & Q(Exists(kept))


def compute_claim_step(owner: str) -> Case:
    """How far a claim raises the epoch of a run: 1, or 2 for a run that has taken the waiting sandbox of another
    process, or one that is lost. The objects of that sandbox have epoch 1, so its process cannot take the objects of
    the claimed run for them."""
    own = WarmSandbox.objects.filter(pk=OuterRef("pk"), owner=owner, state=State.TAKEN)
    return Case(When(Q(warm_host__isnull=True) | Q(Exists(own)), then=Value(1)), default=Value(2))


def format_queues(queues: Collection[str]) -> str:
    return f",{','.join(queues)},"


def insert_building(
    sandbox_id: UUID, host: str, owner: str, queues: Collection[str], kind: Kind, **columns: Any
) -> None:
    """Before anything of it is created, so that garbage collection never finds an object without its row."""
    WarmSandbox.objects.create(
        id=sandbox_id, host_id=host, owner=owner, queues=format_queues(queues), kind=kind, **columns
    )
    failpoints.hit("warm-inserted")


def mark_ready(sandbox_id: UUID, owner: str, kind: Kind, shape: str, image_id: str) -> bool:
    """building -> ready; False if the owner does not lead the host any more."""
    building = WarmSandbox.objects.filter(
        pk=sandbox_id, owner=owner, state=State.BUILDING, host__owner=owner, host__lease_expires_at__gt=Now()
    )
    return bool(building.update(state=State.READY, ready_at=Now(), kind=kind, shape=shape, image_id=image_id))


def mark_gone(sandbox_id: UUID, owner: str) -> bool:
    """building or ready -> gone; False if a run has taken it, or the row is no longer there."""
    waiting = WarmSandbox.objects.filter(pk=sandbox_id, owner=owner, state__in=(State.BUILDING, State.READY))
    return bool(waiting.update(state=State.GONE))


def mark_lost(sandbox_id: UUID, owner: str) -> bool:
    """taken -> gone: its run was not claimed. A later claim of the run has another epoch than the sandbox."""
    taken = WarmSandbox.objects.filter(pk=sandbox_id, owner=owner, state=State.TAKEN)
    return bool(taken.update(state=State.GONE))


def mark_all_gone(owner: str) -> int:
    waiting = WarmSandbox.objects.filter(owner=owner, state__in=(State.BUILDING, State.READY))
    return waiting.update(state=State.GONE)


def set_takeable(owner: str, is_takeable: bool) -> int:
    rows = WarmSandbox.objects.filter(owner=owner, state=State.READY).exclude(is_takeable=is_takeable)
    return rows.update(is_takeable=is_takeable)


def delete_row(sandbox_id: UUID, owner: str) -> bool:
    """Once the sandbox belongs to a run that its host executes, or is removed."""
    return bool(WarmSandbox.objects.filter(pk=sandbox_id, owner=owner).delete()[0])


def delete_gone(owner: str) -> int:
    return WarmSandbox.objects.filter(owner=owner, state=State.GONE).delete()[0]


def delete_rows_of_host(host: str, owner: str) -> int:
    """All rows of a host whose new leader is `owner`. Their sandboxes ended with their worker, or are dropped."""
    rows = WarmSandbox.objects.filter(host_id=host, host__owner=owner, host__lease_expires_at__gt=Now())
    rows.update(state=State.GONE)
    return rows.delete()[0]


def list_states(owner: str) -> dict[UUID, tuple[str, timedelta | None]]:
    """State, and the time since it was taken, of each row of the owner."""
    rows = WarmSandbox.objects.filter(owner=owner).order_by().values_list("pk", "state", Now() - F("taken_at"))
    return {pk: (state, since) for pk, state, since in rows}


def find_living(host: str, ids: Collection[UUID]) -> set[UUID]:
    """Those of `ids` whose sandbox the present leader of the host keeps, builds, has promised, or removes itself."""
    rows = WarmSandbox.objects.filter(pk__in=ids, host_id=host, host__owner=F("owner"))
    return set(rows.values_list("pk", flat=True))
