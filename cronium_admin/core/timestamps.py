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
