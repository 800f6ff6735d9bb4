"""Validates host names, which are used in labels, queue names, file names and a database column."""

import re
from argparse import ArgumentTypeError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def parse_host_name(text: str) -> str:
    """For argparse: raises ArgumentTypeError, which Django reports as CommandError."""
    if not _NAME.fullmatch(text):
        raise ArgumentTypeError(
            f"{text[:40]!r} is not a host name. Allowed: 1 to 100 letters, digits, '.', '_' and '-'; the first is a "
            "letter or digit."
        )
    return text
