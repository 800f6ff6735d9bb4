"""The error of this room."""


class BackupError(Exception):
    """The message names the fault and its remedy, for the operator at the terminal."""
