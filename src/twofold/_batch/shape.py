"""What planning chooses and the output depends on: chosen once, and kept in the run's record."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["BATCH_ROWS", "Shape"]

BATCH_ROWS = 8192
"""Rows of a model call where nothing is known of its cost."""


@dataclass(frozen=True)
class Shape:
    """How the rows of a run are cut. A run that goes on takes it from its record, and never chooses anew.

    A split has about `split_rows` rows; of it pieces of `piece_rows` are read and written; a model call sees at most
    `batch_rows` of a piece, in the file's order or, `by_length`, those of like length together.
    """

    split_rows: int
    batch_rows: int
    piece_rows: int
    by_length: bool = False

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Shape:
        return cls(**values)
