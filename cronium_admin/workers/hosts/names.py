"""What a host may be called: its name stands in labels, queues, file names and a column of the database."""

import re
from argparse import ArgumentTypeError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def parse_host_name(text: str) -> str:
    """A command's argument; ArgumentTypeError, which Django tells as CommandError, for one that is none."""
    if not _NAME.fullmatch(text):
        raise ArgumentTypeError(
            f"{text[:40]!r} is not a host's name: letters, digits, '.', '_' and '-', 1 to 100, no sign first."
        )
    return text
