"""Success rate and durations over 24 hours, 7 days and 30 days, as tables and as the data of the charts. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from cronium_admin.home.tallies import HOUR, Tally


@dataclass(frozen=True)
class Point:
    """Sums of the runs launched in the step that begins at `at`."""

    at: datetime
    good: int
    bad: int
    seconds: float

    @property
    def number(self) -> int:
        return self.good + self.bad

    @property
    def rate(self) -> float | None:
        """Percent of the runs that succeeded; None without runs."""
        return 100 * self.good / self.number if self.number else None

    @property
    def average(self) -> timedelta | None:
        """How long a successful run took; None without one."""
        return timedelta(seconds=self.seconds / self.good) if self.good else None


@dataclass(frozen=True)
class Period:
    """`whole`: all its points in one."""

    key: str
    name: str
    points: list[Point]

    @property
    def whole(self) -> Point:
        return _sum(self.points[0].at, self.points)

    @property
    def data(self) -> dict[str, Any]:
        """For the chart: columns of equal length; times in seconds."""
        return {
            "at": [int(point.at.timestamp()) for point in self.points],
            "rate": [None if point.rate is None else round(point.rate, 1) for point in self.points],
            "seconds": [round(point.average.total_seconds(), 2) if point.average else None for point in self.points],
            "runs": [point.number for point in self.points],
        }


def build_periods(day: Sequence[Tally], month: Sequence[Tally]) -> list[Period]:
    """From the hours of 24 hours and of 30 days."""
    return [
        Period("24h", "24 hours", list(_join(day, 1))),
        Period("7d", "7 days", list(_join(month[-7 * 24 :], 6))),
        Period("30d", "30 days", list(_join(month, 24))),
    ]


def _join(hours: Sequence[Tally], step: int) -> Iterable[Point]:
    for start in range(0, len(hours), step):
        yield _sum(hours[start].at, hours[start : start + step])


def _sum(at: datetime, parts: Sequence[Tally | Point]) -> Point:
    return Point(
        at, sum(part.good for part in parts), sum(part.bad for part in parts), sum(part.seconds for part in parts)
    )


def describe_step(period: Period) -> str:
    """How long each point is: 1 hour, 6 hours, 1 day."""
    hours = round((period.points[1].at - period.points[0].at) / HOUR)
    return {1: "1 hour", 24: "1 day"}.get(hours, f"{hours} hours")
