"""Says in the dashboard's words what Django's own validators complain of."""

from django.core.exceptions import ValidationError

_WORDS = {
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
}
_OF_FIELDS = {("script", "blank"): "Write a script.", ("name", "blank"): "Give it a name."}


def reword(field: str, error: ValidationError) -> ValidationError:
    """The same complaint of `field` in our words; what no built-in validator says stays as it is."""
    words = _OF_FIELDS.get((field, error.code or "")) or _WORDS.get(error.code or "")
    if words is None or not _is_djangos(error):
        return error
    return ValidationError(words.format(**(error.params or {})), code=error.code)


def _is_djangos(error: ValidationError) -> bool:
    """Django's messages are translated when they are shown; ours are plain text."""
    return not isinstance(error.message, str)
