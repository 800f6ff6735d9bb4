"""The error of a rule that can't be used."""


class RuleError(ValueError):
    """`field` is the part of the rule: "minute", "timezone", ..., or "rule" for the whole. The message is for users."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field
