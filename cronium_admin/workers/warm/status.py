"""The pool of a host as JSON, for the host's row: the Hosts page and the API read it there."""

from collections import Counter
from typing import Any

from cronium_admin.warm.models import Kind, State
from cronium_admin.warm.shapes import WarmShape
from cronium_admin.workers.warm.maker import WarmMaker
from cronium_admin.workers.warm.pool import SANDBOX_BYTES

MAX_SHAPES = 50  # in the report


def describe_pool(maker: WarmMaker) -> dict[str, Any]:
    """Reads only memory; never waits for the engine or the database."""
    pool, plan = maker.pool, maker.plan
    waiting = Counter(item.shape for item in pool.list_items())
    shapes = sorted({*plan.wanted, *waiting}, key=lambda shape: -plan.rates.get(shape, 0.0))
    building = maker.building
    return {
        "limit": maker.limit,
        "paused": maker.pause_reason,
        "delayed": maker.delay_reason,
        "waiting": sum(waiting.values()),
        "building": int(building is not None),
        "memory_bytes": sum(waiting.values()) * SANDBOX_BYTES,
        "hits": {"warm": pool.hits["warm"], "stem": pool.hits["stem"]},
        "misses": dict(pool.misses),
        "shapes": [_describe_shape(maker, shape, waiting[shape]) for shape in shapes[:MAX_SHAPES]],
    }


def _describe_shape(maker: WarmMaker, shape: WarmShape, waiting: int) -> dict[str, Any]:
    plan = maker.plan
    return {
        "kind": Kind.STEM.value if shape.is_stem else Kind.WHOLE.value,
        **shape.columns,
        "cpu": str(shape.cpu),
        "waiting": waiting,
        State.BUILDING.value: int(maker.building == shape),
        "target": plan.given.get(shape, 0),
        "wanted": plan.wanted.get(shape, 0),
        "per_minute": round(plan.rates.get(shape, 0.0) * 60, 2),
        "hits": maker.pool.shape_hits[shape],
        "misses": maker.pool.shape_misses[shape],
        "failures": maker.failures.count(shape),
        "error": maker.failures.describe(shape),
    }
