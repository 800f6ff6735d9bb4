"""What a job with the network `egress` may reach: a list of patterns `host:port`."""

from typing import Any

from django.core.exceptions import ValidationError

MAX_EGRESS = 100


def validate_egress(value: Any) -> None:
    """`value` must be a list of different patterns `host:port`."""
    if not isinstance(value, list) or not all(isinstance(pattern, str) for pattern in value):
        raise ValidationError('Must be a list such as ["api.example.com:443"].', code="type")
    if len(value) > MAX_EGRESS:
        raise ValidationError(f"{len(value)} patterns; at most {MAX_EGRESS} are allowed.", code="too_many")
