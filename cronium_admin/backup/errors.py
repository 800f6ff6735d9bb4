"""The one error of this room."""


class BackupError(Exception):
    """A sentence for the person at the terminal: what is wrong, and how to mend it."""
