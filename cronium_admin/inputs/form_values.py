"""From the fields of a form to the values of an input, and back. Form names begin with `in-`."""

import base64
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

from django.core.files.uploadedfile import UploadedFile
from django.http import QueryDict

from cronium_admin.inputs.fields import Field, InputSchema, Kind, format_plain
from cronium_admin.inputs.problems import Problem
from cronium_admin.inputs.value_check import is_datetime, measure_file

PREFIX = "in-"
KEPT = "kept-"  # a file that was sent before, as JSON
DROP = "drop-"  # a kept file that is to be removed
_UNSET = object()


@dataclass
class ParsedFields:
    """`typed`: the texts as they were typed, of fields that were not read."""

    value: dict[str, Any] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    typed: dict[str, str] = field(default_factory=dict)


class LocalTime(Protocol):
    def __call__(self, text: str, /) -> datetime | None:
        """The instant of a local time of the form's time zone. Raises ValueError with words."""


def parse_fields(schema: InputSchema, sent: QueryDict, files: Mapping[str, Any], read_local: LocalTime) -> ParsedFields:
    """The input of a form. An empty field is omitted; the validator judges the values."""
    parsed = ParsedFields()
    for each in schema.fields:
        try:
            value = _parse_field(each, sent, files, read_local)
        except ValueError as error:
            parsed.problems.append(Problem(each.name, str(error)))
            parsed.typed[each.name] = str(sent.get(PREFIX + each.name) or "")
            continue
        if value is not _UNSET:
            parsed.value[each.name] = value
    return parsed


def _parse_field(each: Field, sent: QueryDict, files: Mapping[str, Any], read_local: LocalTime) -> Any:
    name = PREFIX + each.name
    if each.kind is Kind.FILE:
        return _parse_file(each, sent, files.get(name))
    if each.kind is Kind.BOOLEAN:
        return sent.get(name) is not None
    if each.kind is Kind.MULTI:
        return [_parse_scalar(text, each.item_type) for text in sent.getlist(name) if text]
    text = str(sent.get(name) or "").replace("\r\n", "\n")
    if each.kind is Kind.LIST:
        return [_parse_scalar(line.strip(), each.item_type) for line in text.split("\n") if line.strip()] or _UNSET
    if not text.strip():
        return _UNSET
    if each.kind is Kind.DATETIME:
        return text.strip() if is_datetime(text.strip()) else format_instant(read_local(text))
    return _parse_scalar(text, each.item_type)


def _parse_scalar(text: str, of: str) -> Any:
    if of == "string":
        return text
    try:
        return int(text) if of == "integer" or text.strip().lstrip("+-").isdecimal() else _parse_number(text)
    except ValueError:
        kind = "a whole number" if of == "integer" else "a number such as 2.5"
        raise ValueError(f"Must be {kind}, not {text.strip()[:60]!r}.") from None


def _parse_number(text: str) -> float:
    number = float(text)
    if number - number != 0:  # nan or inf
        raise ValueError
    return number


def format_instant(at: datetime | None) -> str:
    return "" if at is None else at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _parse_file(each: Field, sent: QueryDict, upload: "UploadedFile[Any] | None") -> Any:
    if upload is not None and upload.name:
        if (upload.size or 0) > each.file_bytes:
            raise ValueError(f"The file has {upload.size:,} bytes; at most {each.file_bytes:,} are allowed.")
        return {"name": upload.name[-255:], each.file_form: _encode_file(each, upload.read())}
    kept = str(sent.get(KEPT + each.name) or "")
    if not kept or sent.get(DROP + each.name) is not None:
        return _UNSET
    try:
        return json.loads(kept)
    except (ValueError, RecursionError):
        raise ValueError("The file was lost on the way. Choose it again.") from None


def _encode_file(each: Field, content: bytes) -> str:
    if each.file_form == "base64":
        return base64.b64encode(content).decode()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError("The file is not text in UTF-8.") from None
    if "\0" in text:
        raise ValueError("The file contains a NUL character, so it is not text.")
    return text


def format_field(each: Field, value: Any) -> str:
    """The text of the field in a form."""
    if value is None:
        return ""
    if isinstance(value, list):
        return "\n".join(format_plain(item) for item in value)
    return format_plain(value) if not isinstance(value, dict) else ""


def format_short(each: Field, value: Any) -> str:
    """The value in a list of runs: one line. Of a file its name."""
    if each.kind is Kind.FILE:
        name = value.get("name") if isinstance(value, dict) else ""
        return str(name or "")
    if isinstance(value, list):
        return ",".join(format_plain(item) for item in value)
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    text = format_plain(value)
    if each.kind is Kind.INTEGER and isinstance(value, float):
        text = str(int(value))
    return " ".join(text.split())


def describe_value(each: Field, value: Any) -> str:
    """The value in a sentence of the form; in words if there is none."""
    if value is None or value == []:
        return "empty"
    if each.kind is Kind.BOOLEAN:
        return "yes" if value else "no"
    title = each.static_choices.get_title(value) if each.kind is Kind.CHOICE else ""
    text = title or format_short(each, value).replace(",", ", " if isinstance(value, list) else ",")
    return text if len(text) <= 60 else f"{text[:60]}…"


def iterate_files(schema: InputSchema, value: Mapping[str, Any]) -> Iterator[tuple[Field, str, int]]:
    """Each file of the input: its field, name and size."""
    for each in schema.fields:
        content = value.get(each.name)
        if each.kind is Kind.FILE and isinstance(content, dict):
            try:
                size = measure_file(each.file_form, str(content.get(each.file_form, "")))
            except ValueError:
                continue
            yield each, str(content.get("name", "")), size
