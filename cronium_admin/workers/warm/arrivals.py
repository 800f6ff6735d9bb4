"""The launches that this host has claimed, by shape, and the sandboxes that should wait for the next ones.

Thread-safe. Times are seconds of `time.monotonic`.
"""

import math
import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

from cronium_admin.warm.shapes import WarmShape
from cronium_admin.workers.warm.sizing import KEEP_SECONDS, Demand, Wanted, plan_places

NOTED_WITHIN_SECONDS = 1.0  # a launch is noted this soon after its claim
MAX_SHAPES = 500  # the oldest are forgotten


@dataclass(frozen=True)
class Plan:
    """Places by shape: those that each asks for, and those that it gets within the limit. Per shape, launches per
    second."""

    wanted: Mapping[WarmShape, int]
    given: Mapping[WarmShape, int]
    rates: Mapping[WarmShape, float]


class Arrivals:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._demands: dict[WarmShape, Demand] = {}
        self._defaults: frozenset[WarmShape] = frozenset()
        self._first_at = math.inf

    def note_launch(self, shape: WarmShape, at: float, *, is_miss: bool = False) -> None:
        with self._lock:
            self._first_at = min(self._first_at, at)
            self._find_demand(shape).note_launch(at, is_miss=is_miss)

    def note_earlier(self, launches: Iterable[tuple[WarmShape, float]]) -> None:
        """Launches of earlier processes. Those from the first launch on that this process noted are ignored."""
        with self._lock:
            for shape, at in launches:
                if at < self._first_at - NOTED_WITHIN_SECONDS:
                    self._find_demand(shape).note_launch(at)

    def expect(self, shape: WarmShape, at: float) -> None:
        """A launch of this shape is due at this time: a sandbox is prepared shortly before."""
        with self._lock:
            self._find_demand(shape).expect(at)

    def _find_demand(self, shape: WarmShape) -> Demand:
        if shape not in self._demands and len(self._demands) >= MAX_SHAPES:
            del self._demands[min(self._demands, key=lambda known: self._demands[known].last_at)]
        return self._demands.setdefault(shape, Demand())

    def list_languages(self, now: float) -> frozenset[str]:
        """The languages of the last hour."""
        with self._lock:
            return frozenset(
                shape.language for shape, demand in self._demands.items() if now - demand.last_at <= KEEP_SECONDS
            )

    def set_defaults(self, shapes: Collection[WarmShape]) -> None:
        """The shapes that get a place without two launches."""
        with self._lock:
            self._defaults = frozenset(shapes)

    def make_plan(
        self,
        now: float,
        limit: int,
        refill_seconds: float,
        paused: Collection[WarmShape] = frozenset(),
        has_stem: Callable[[WarmShape], bool] = lambda shape: False,
    ) -> Plan:
        """`paused` shapes get no place. `has_stem`: a sandbox of this shape may be made of a stem."""
        with self._lock:
            for shape in [shape for shape, demand in self._demands.items() if demand.is_over(now)]:
                del self._demands[shape]
            demands = {shape: Demand() for shape in self._defaults} | self._demands
            wanted = {
                shape: Wanted(
                    demand.compute_target(now, refill_seconds, is_default=shape in self._defaults),
                    demand.compute_rate(now),
                )
                for shape, demand in demands.items()
            }
        active = {shape: asked for shape, asked in wanted.items() if shape not in paused}
        stems = {shape: WarmShape.make_stem(shape.network, shape.runtime) for shape in active if has_stem(shape)}
        stems = {shape: stem for shape, stem in stems.items() if stem not in paused}
        asked, given = plan_places(active, stems, limit, refill_seconds)
        kept = {shape: one.places for shape, one in wanted.items() if one.places}  # also of paused ones
        rates = {shape: one.rate for shape, one in wanted.items()} | {shape: one.rate for shape, one in asked.items()}
        return Plan(kept | {shape: one.places for shape, one in asked.items()}, given, rates)
