"""The shape of a run: its columns that decide the containers of its sandbox. Equal shapes can use the same sandbox."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from decimal import Decimal
from typing import Any


@dataclass(frozen=True)
class WarmShape:
    """Of runs and of whole sandboxes. Hashable; the values are those of the columns of a run."""

    language: str
    image: str
    cpu: Decimal
    memory_mb: int
    pids: int
    log_limit_mb: int
    network: str
    runtime: str = ""
    read_only_root: bool = True

    @classmethod
    def make_stem(cls, network: str, runtime: str) -> "WarmShape":
        """The shape of a stem, which has no main and fits every run of this network and runtime."""
        return cls("", "", Decimal(0), 0, 0, 0, network, runtime)

    @property
    def is_stem(self) -> bool:
        return not self.image

    @classmethod
    def from_columns(cls, columns: Mapping[str, Any]) -> "WarmShape":
        return cls(**{name: columns[name] for name in SHAPE_COLUMNS})

    @classmethod
    def from_row(cls, row: object) -> "WarmShape":
        """`row` is a run, or another object with the same attributes."""
        return cls(**{name: getattr(row, name) for name in SHAPE_COLUMNS})

    @property
    def columns(self) -> dict[str, Any]:
        return asdict(self)


# The columns that have to be equal in a run and in the whole sandbox that it takes.
SHAPE_COLUMNS = tuple(field.name for field in fields(WarmShape))
