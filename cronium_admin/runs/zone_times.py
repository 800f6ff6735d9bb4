"""Instants in words of a time zone, and local times of a form as instants."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from cron_rules.errors import RuleError
from cron_rules.zones import load_zone

MIN_YEAR, MAX_YEAR = 1971, 9989


def get_zone_info(name: str) -> ZoneInfo:
    """UTC for a name that this version of the time-zone data does not have."""
    try:
        return load_zone(name).info
    except RuleError:
        return ZoneInfo("UTC")


def format_zoned(at: datetime, zone: str) -> str:
    """As "Sun 29 Nov 2026 02:30 CET", with seconds only if there are any."""
    local = at.astimezone(get_zone_info(zone))
    clock = "%H:%M:%S" if local.second else "%H:%M"
    return f"{local:%a} {local.day} {local:%b} {local.year:04} {local.strftime(clock)} {local:%Z}"


def format_field(at: datetime | None, zone: str) -> str:
    """The value of a field of the type datetime-local."""
    return "" if at is None else f"{at.astimezone(get_zone_info(zone)):%Y-%m-%dT%H:%M:%S}"


def parse_field(text: str, zone: str) -> datetime | None:
    """The instant of a local time; of a time that comes twice, the first. Raises ValueError with words."""
    if not text.strip():
        return None
    try:
        local = datetime.fromisoformat(text.strip())
    except ValueError:
        raise ValueError("Write a date and a time, such as 2027-03-28 09:00.") from None
    if local.tzinfo is not None:
        raise ValueError("Write the time in the time zone of the form, without an offset.")
    return convert_local_time(local, zone)


def convert_local_time(local: datetime, zone: str) -> datetime:
    """The instant of a local time; of a time that comes twice, the first. Raises ValueError with words."""
    if not MIN_YEAR <= local.year <= MAX_YEAR:
        raise ValueError(f"The year must be in {MIN_YEAR} to {MAX_YEAR}.")
    info = get_zone_info(zone)
    at = local.replace(tzinfo=info).astimezone(UTC)
    if at.astimezone(info).replace(tzinfo=None) != local:
        after = at.astimezone(info)
        text = f"{local:%Y-%m-%d %H:%M} does not exist in {zone}, because the clock goes forward."
        raise ValueError(f"{text} Choose {after:%H:%M} or another time.")
    return at
