"""The filter of lists of jobs: the same fields on the page, in the API and in saved views. Makes no query."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Final
from urllib.parse import urlencode

from django.db import models

from cronium_admin.images.models import Language
from cronium_admin.jobs.job_states import JobState
from cronium_admin.jobs.models import Network
from cronium_admin.jobs.validation import is_tag

MAX_QUERY_CHARACTERS: Final = 200
_MAX_SLUG_CHARACTERS = 80


class Sort(models.TextChoices):
    FAILING = "failing", "Failing first"
    NAME = "name", "Name"
    LAST = "last", "Last run first"
    DURATION = "duration", "Longest first"
    SUCCESS = "success", "Least successful first"


@dataclass(frozen=True)
class JobFilter:
    """An empty field does not filter. `mine`: created by the user; `pinned`: pinned by the user."""

    q: str = ""
    state: str = ""
    language: str = ""
    tag: str = ""
    project: str = ""
    network: str = ""
    mine: bool = False
    pinned: bool = False
    sort: str = Sort.FAILING.value

    @classmethod
    def parse(cls, query: Mapping[str, Any]) -> "JobFilter":
        """Omits values that no filter has, such as those of an old address."""
        choices = {"state": JobState, "language": Language, "network": Network, "sort": Sort}
        values: dict[str, Any] = {name: query[name] for name, kind in choices.items() if query.get(name) in kind.values}
        text = str(query.get("q", "")).replace("\x00", "").strip()[:MAX_QUERY_CHARACTERS]
        values["q"] = "".join(character for character in text if not "\ud800" <= character <= "\udfff")
        if is_tag(query.get("tag", "")):
            values["tag"] = query["tag"]
        values["project"] = _parse_slug(str(query.get("project", "")))
        values |= {name: query.get(name) in ("true", "on", True) for name in ("mine", "pinned")}
        return cls(**values)

    def to_query(self) -> dict[str, str]:
        """The fields that differ from the default, as they stand in an address and in a saved view."""
        default, values = asdict(JobFilter()), asdict(self)
        texts = {name: "true" if value is True else value for name, value in values.items()}
        return {field.name: texts[field.name] for field in fields(self) if values[field.name] != default[field.name]}

    def to_address(self, **changes: Any) -> str:
        """The query of an address; empty, or with its question mark."""
        query = replace(self, **changes).to_query()
        return f"?{urlencode(query)}" if query else ""

    @property
    def is_filtering(self) -> bool:
        return replace(self, sort=Sort.FAILING.value) != JobFilter()


def _parse_slug(text: str) -> str:
    is_slug = len(text) <= _MAX_SLUG_CHARACTERS and text.replace("-", "").replace("_", "").isalnum() and text.isascii()
    return text if is_slug else ""


def find_unread(chosen: JobFilter, fields: Mapping[str, str]) -> str | None:
    """The name of a given field that `parse` has omitted; None: all were read. Texts of `q` may be cut."""
    return next((name for name, value in fields.items() if name != "q" and value and not getattr(chosen, name)), None)
