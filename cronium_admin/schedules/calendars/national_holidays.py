"""National holidays, from the optional package `holidays`. No other module imports it."""

import importlib
import re
import warnings
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from cron_rules.errors import RuleError
from cron_rules.month_days import EPOCH

REQUIREMENT = "holidays==0.108"
HOW_TO_INSTALL = (
    f"Install it in Cronium's Python environment (pip install {REQUIREMENT}) and restart Cronium, or clear the country."
)


@lru_cache(maxsize=1)
def _load_package() -> Any:
    """None if the package is not installed."""
    try:
        package = importlib.import_module("holidays")
    except ImportError:
        return None
    # Years for which it has no data simply have no holidays.
    warnings.filterwarnings("ignore", "Requested Holidays are available only")
    return package


def find_version() -> str:
    """Empty if the package is not installed."""
    package = _load_package()
    return "" if package is None else str(package.__version__)


@lru_cache(maxsize=1)
def list_countries() -> Mapping[str, str]:
    """English names by two-letter code; empty without the package."""
    if _load_package() is None:
        return {}
    registry = importlib.import_module("holidays.registry").COUNTRIES
    found = {entry[1]: re.sub(r"(?<=[a-z])(?=[A-Z])", " ", entry[0]) for entry in registry.values()}
    return dict(sorted(found.items(), key=lambda item: item[1]))


def list_subdivisions(country: str) -> list[str]:
    package = _load_package()
    return [] if package is None else list(package.list_supported_countries().get(country, []))


def check_country(country: str, subdivision: str) -> None:
    """Raises RuleError: "country" without the package or for an unknown country; "subdivision"."""
    if not country:
        if subdivision:
            raise RuleError("subdivision", "A subdivision needs a country. Choose the country, or clear this.")
        return
    if _load_package() is None:
        text = f"The holidays of {country[:8]} come from the Python package holidays, which is not installed."
        raise RuleError("country", f"{text} {HOW_TO_INSTALL}")
    if country not in list_countries():
        text = f"There are no holidays of {country[:8]!r}. Give the two letters of a country, such as DE or US."
        raise RuleError("country", text)
    known = list_subdivisions(country)
    if subdivision and subdivision not in known:
        allowed = f"Allowed are {', '.join(known)}." if known else "This country has none: clear it."
        raise RuleError("subdivision", f"{subdivision[:40]!r} is not a subdivision of {country}. {allowed}")


@lru_cache(maxsize=4096)
def list_holidays(country: str, subdivision: str, year: int) -> Mapping[int, str]:
    """Names by day; in English where the package has that. The country is one that `check_country` allows."""
    package = _load_package()
    source = package.country_holidays(country, subdiv=subdivision or None)
    languages = source.supported_languages or ()
    language = next((name for name in ("en_US", "en_GB", *languages) if name in languages), None)
    found = package.country_holidays(country, subdiv=subdivision or None, years=year, language=language)
    return {day.toordinal() - EPOCH: name for day, name in found.items() if day.year == year}
