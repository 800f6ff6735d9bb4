"""The fields that a schema declares, in the order of the form."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from typing import Any

EXTENSION = "x-cronium"
DEFAULT_FILE_KB = 256


class Kind(StrEnum):
    TEXT = "text"
    LINES = "lines"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    CHOICE = "choice"
    MULTI = "multi"
    LIST = "list"
    DATE = "date"
    DATETIME = "datetime"
    SECRET = "secret"  # noqa: S105
    FILE = "file"


@dataclass(frozen=True)
class Option:
    value: Any
    title: str


@dataclass(frozen=True)
class Choices:
    """What a field allows. `at`: when dynamic data was stored. `problem`: why there is none, in words."""

    options: tuple[Option, ...] = ()
    at: datetime | None = None
    source: str = ""
    problem: str = ""

    def __contains__(self, value: Any) -> bool:
        return any(is_same_value(option.value, value) for option in self.options)

    def get_title(self, value: Any) -> str:
        return next((option.title for option in self.options if is_same_value(option.value, value)), "")


# Reads the choices of a field by its data source; the mapping is the input, for choices that depend on another field.
Resolver = Callable[["Field", Mapping[str, Any]], Choices]


def is_same_value(one: Any, other: Any) -> bool:
    # Python counts true as 1
    return one == other and isinstance(one, bool) == isinstance(other, bool)


@dataclass(frozen=True)
class Field:
    """One property of the schema."""

    name: str
    schema: Mapping[str, Any]
    is_required: bool = False

    @cached_property
    def kind(self) -> Kind:
        extension, of = self.extension, self.schema.get("type")
        if "file" in extension:
            return Kind.FILE
        if extension.get("secret"):
            return Kind.SECRET
        if of == "array":
            return Kind.MULTI if self.has_choices else Kind.LIST
        if self.has_choices:
            return Kind.CHOICE
        if of == "string":
            by_format = {"date": Kind.DATE, "date-time": Kind.DATETIME}
            return by_format.get(
                str(self.schema.get("format")), Kind.LINES if extension.get("multiline") else Kind.TEXT
            )
        return Kind(str(of))

    @property
    def extension(self) -> Mapping[str, Any]:
        own = self.schema.get(EXTENSION)
        return own if isinstance(own, Mapping) else {}

    @property
    def title(self) -> str:
        return str(self.schema.get("title") or self.name)

    @property
    def description(self) -> str:
        return str(self.schema.get("description") or "")

    @property
    def has_default(self) -> bool:
        return "default" in self.schema

    @property
    def default(self) -> Any:
        return self.schema.get("default")

    @property
    def item_schema(self) -> Mapping[str, Any]:
        """Of a list, the schema of its items; else the field's own."""
        if self.schema.get("type") != "array":
            return self.schema
        items = self.schema.get("items")
        return items if isinstance(items, Mapping) else {}

    @property
    def item_type(self) -> str:
        return str(self.item_schema.get("type", "string"))

    @property
    def source(self) -> Mapping[str, Any] | None:
        """Where dynamic or dependent choices come from; None: the schema itself has them, or there are none."""
        own = self.extension.get("choices")
        return own if isinstance(own, Mapping) else None

    @property
    def depends_on(self) -> str:
        return str(self.source.get("depends_on", "")) if self.source else ""

    @property
    def has_choices(self) -> bool:
        return bool({"enum", "oneOf"} & self.item_schema.keys()) or self.source is not None

    @cached_property
    def static_choices(self) -> Choices:
        schema = self.item_schema
        if isinstance(named := schema.get("oneOf"), list):
            return make_choices(named)
        return make_choices(schema.get("enum") or [])

    @property
    def file_bytes(self) -> int:
        return int((self.extension.get("file") or {}).get("max_kb", DEFAULT_FILE_KB)) * 1024

    @property
    def file_form(self) -> str:
        """The key of a file's content: text or base64."""
        return str((self.extension.get("file") or {}).get("as", "base64"))

    @property
    def file_accept(self) -> list[str]:
        return list((self.extension.get("file") or {}).get("accept", []))


@dataclass(frozen=True)
class InputSchema:
    """A checked schema. `allows_other`: an input may have values that are not declared."""

    fields: tuple[Field, ...] = ()
    allows_other: bool = True
    title: str = ""
    description: str = ""
    by_name: Mapping[str, Field] = field(default_factory=dict)


def read_schema(value: Mapping[str, Any]) -> InputSchema:
    """Of a schema without problems."""
    properties = value.get("properties") or {}
    first = [name for name in (value.get(EXTENSION) or {}).get("order", []) if name in properties]
    required = set(value.get("required") or ())
    names = [*first, *(name for name in properties if name not in first)]
    fields = tuple(Field(name, properties[name], name in required) for name in names)
    return InputSchema(
        fields=fields,
        allows_other=value.get("additionalProperties", True) is not False,
        title=str(value.get("title") or ""),
        description=str(value.get("description") or ""),
        by_name={each.name: each for each in fields},
    )


def make_choices(items: list[Any]) -> Choices:
    """Of a list of values, or of objects with `const` (or `value`) and `title`."""
    return Choices(tuple(_make_option(item) for item in items))


def _make_option(item: Any) -> Option:
    if isinstance(item, Mapping):
        value = item.get("const", item.get("value"))
        return Option(value, str(item.get("title") or format_plain(value)))
    return Option(item, format_plain(item))


def format_plain(value: Any) -> str:
    """A scalar as people write it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)
