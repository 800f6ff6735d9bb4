"""The bars of the last 24 hours: ended runs of each hour, with the failures at the foot. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from cronium_admin.home.tallies import Tally

HEIGHT, STEP, WIDTH = 34, 9, 7


@dataclass(frozen=True)
class Bar:
    """Coordinates of one hour; `good_height` 0 draws nothing."""

    x: int
    good_y: float
    good_height: float
    bad_y: float
    bad_height: float
    title: str


@dataclass(frozen=True)
class DayBars:
    bars: list[Bar]
    number: int
    bad: int

    @property
    def width(self) -> int:
        return len(self.bars) * STEP

    @property
    def words(self) -> str:
        return f"Runs of the last 24 hours: {self.number}, of which {self.bad} failed."


def build_day_bars(hours: Sequence[Tally]) -> DayBars:
    most = max((hour.number for hour in hours), default=0) or 1
    bars = []
    for place, hour in enumerate(hours):
        # A single failure among thousands of runs stays visible.
        bad = max(2.0, hour.bad * HEIGHT / most) if hour.bad else 0.0
        good = max(1.0, hour.good * HEIGHT / most) if hour.good else 0.0
        good = min(good, HEIGHT - bad)
        title = f"{hour.at:%H:%M} to {hour.at + timedelta(hours=1):%H:%M} UTC: {hour.number} runs, {hour.bad} failed"
        bars.append(
            Bar(
                x=place * STEP,
                good_y=round(HEIGHT - bad - good, 1),
                good_height=round(good, 1),
                bad_y=round(HEIGHT - bad, 1),
                bad_height=round(bad, 1),
                title=title,
            )
        )
    return DayBars(bars, sum(hour.number for hour in hours), sum(hour.bad for hour in hours))
