"""The one error a room raises when it will not do what was asked; the edges turn it into an answer."""

from collections.abc import Mapping


class Refused(Exception):
    """A request that can't be done: `status` is HTTP's, `code` a word, `message` a sentence with the mend."""

    def __init__(self, status: int, code: str, message: str, fields: Mapping[str, list[str]] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.fields = dict(fields or {})
