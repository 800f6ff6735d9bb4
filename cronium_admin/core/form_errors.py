"""Replaces the messages of Django's built-in validators by the dashboard's own."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django import forms
from django.core.exceptions import NON_FIELD_ERRORS, ValidationError

_MESSAGES = {
    "blank": "Fill this in.",
    "null": "Fill this in.",
    "required": "Fill this in.",
    "max_length": "{limit_value:,} characters at most; this has {show_value:,}.",
    "min_length": "{limit_value:,} characters or more; this has {show_value:,}.",
    "max_value": "{limit_value} at most; this is {show_value}.",
    "min_value": "{limit_value} or more; this is {show_value}.",
    "max_decimal_places": "{max} decimal places at most.",
    "max_digits": "{max} digits at most.",
    "max_whole_digits": "{max} digits at most before the decimal point.",
    "invalid_choice": "{value!r} is not one of the choices.",
    "null_characters_not_allowed": "Contains a NUL character. Remove it.",
    "surrogate_characters_not_allowed": "Contains half a surrogate pair, which is not text. Remove it.",
}
_FIELD_MESSAGES = {("script", "blank"): "Write a script.", ("name", "blank"): "Give it a name."}
_FIELD_MESSAGES |= {("username", "invalid"): "Letters, digits and @ . + - _ are allowed."}


def translate_error(field: str, error: ValidationError) -> ValidationError:
    message = _FIELD_MESSAGES.get((field, error.code or "")) or _MESSAGES.get(error.code or "")
    if message is None or not _is_django_message(error):
        return error
    return ValidationError(message.format(**_shorten_values(error.params or {})), code=error.code)


def translate_errors(error: ValidationError, field: str = NON_FIELD_ERRORS) -> ValidationError:
    if hasattr(error, "error_dict"):
        errors_by_field = {
            name: [translate_error(name, item) for item in errors] for name, errors in error.error_dict.items()
        }
        return ValidationError(errors_by_field)
    return ValidationError([translate_error(field, item) for item in error.error_list])


@contextmanager
def translated_errors() -> Iterator[None]:
    try:
        yield
    except ValidationError as error:
        raise translate_errors(error) from None


class PlainForm(forms.Form):
    """A form with our messages; the `error_messages` of a field are plain text and stay unchanged."""

    def add_error(self, field: str | None, error: Any) -> None:
        if isinstance(error, ValidationError):
            error = translate_errors(error, field or NON_FIELD_ERRORS)
        super().add_error(field, error)


def _shorten_values(params: dict[str, Any]) -> dict[str, Any]:
    return {name: value[:40] if isinstance(value, str) else value for name, value in params.items()}


def _is_django_message(error: ValidationError) -> bool:
    # Django's messages are lazy translations; ours are strings.
    return not isinstance(error.message, str)
