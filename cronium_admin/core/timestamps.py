"""Times in requests: converted to UTC, within the range that every database can compare."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime


def _convert_to_utc(at: datetime) -> datetime:
    try:
        return at.astimezone(UTC)
    except OverflowError:
        raise ValueError("Give a time between 0001-01-01 and 9999-12-31 in UTC.") from None


UtcDatetime = Annotated[AwareDatetime, AfterValidator(_convert_to_utc)]


def _convert_if_aware(at: datetime) -> datetime:
    return at if at.tzinfo is None else _convert_to_utc(at)


# A time or a date without an offset stays as it is: the route knows its time zone.
PlainOrUtcDatetime = Annotated[datetime, AfterValidator(_convert_if_aware)]
