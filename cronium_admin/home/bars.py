"""The bars of the last 24 hours: ended runs of each hour, with the failures at the foot. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cronium_admin.home.tallies import Tally

HEIGHT, STEP, WIDTH = 34, 9, 7


@dataclass(frozen=True)
class Bar:
    """The ended runs of the hour from `at` on, and its coordinates; `good_height` 0 draws nothing."""

    at: datetime
    x: int
    good_y: float
    good_height: float
    bad_y: float
    bad_height: float
    number: int
    bad: int

    @property
    def title(self) -> str:
        hour = f"{self.at:%H:%M} to {self.at + timedelta(hours=1):%H:%M} UTC"
        return f"{hour}: {self.number} ended runs, {self.bad} failed"


@dataclass(frozen=True)
class DayBars:
    bars: list[Bar]

    @property
    def width(self) -> int:
        return len(self.bars) * STEP

    @property
    def words(self) -> str:
        number, bad = sum(bar.number for bar in self.bars), sum(bar.bad for bar in self.bars)
        return f"Ended runs of the last 24 hours by hour: {number:,}, of which {bad:,} failed."


def build_day_bars(hours: Sequence[Tally]) -> DayBars:
    most = max((hour.number for hour in hours), default=0) or 1
    bars = []
    for place, hour in enumerate(hours):
        # A single failure among thousands of runs stays visible.
        bad = max(2.0, hour.bad * HEIGHT / most) if hour.bad else 0.0
        good = max(1.0, hour.good * HEIGHT / most) if hour.good else 0.0
        good = min(good, HEIGHT - bad)
        bars.append(
            Bar(
                at=hour.at,
                x=place * STEP,
                good_y=round(HEIGHT - bad - good, 1),
                good_height=round(good, 1),
                bad_y=round(HEIGHT - bad, 1),
                bad_height=round(bad, 1),
                number=hour.number,
                bad=hour.bad,
            )
        )
    return DayBars(bars)
