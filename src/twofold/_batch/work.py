"""What a worker must know to compute the splits of a run: made by the plan, carried as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from twofold._batch.mapping import Columns, Reading
from twofold._batch.opening import Identity
from twofold._batch.shape import Shape
from twofold._batch.sources import FileSplit, Piece, Where, parse_where, read_split, schema_from_text, schema_to_text
from twofold._batch.stores import Store, store_of
from twofold._signature import Signature

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["SplitTask", "Work"]


@dataclass(frozen=True)
class Work:
    """The same for all splits of a run.

    `columns` feed the fields; `kept` are the input's columns that the output has; `typed` those of them that take the
    type of the field that reads them (text has no types of its own); `answers` maps the model's outputs to their
    columns. Rows that do not pass `where` are not in the run. Parts are committed in `store`.
    """

    signature: Signature
    input_schema: pa.Schema
    output_schema: pa.Schema
    columns: Columns
    kept: tuple[str, ...]
    typed: frozenset[str]
    answers: dict[str, str]
    where: Where | None
    store: Store
    shape: Shape

    @cached_property
    def reading(self) -> Reading:
        return Reading(self.signature, self.columns)

    @cached_property
    def read_columns(self) -> list[str]:
        """The columns that must be read, in the input's order."""
        wanted = {*self.kept, *self.reading.needed}
        return [name for name in self.input_schema.names if name in wanted]

    def pieces(self, task: SplitTask, piece_rows: int) -> Iterator[Piece]:
        """The rows of a split, in pieces of this many; the last one may hold no more than what was left out."""
        return read_split(
            task.file, self.input_schema, self.read_columns, piece_rows, where=self.where, n_rows=task.n_rows
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "signature": self.signature.to_json(),
            "input_schema": schema_to_text(self.input_schema),
            "output_schema": schema_to_text(self.output_schema),
            "columns": self.columns,
            "kept": list(self.kept),
            "typed": sorted(self.typed),
            "answers": self.answers,
            "where": None if self.where is None else self.where.text,
            "store": self.store.to_json(),
            "shape": self.shape.to_json(),
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Work:
        return cls(
            signature=Signature.from_json(values["signature"]),
            input_schema=schema_from_text(values["input_schema"]),
            output_schema=schema_from_text(values["output_schema"]),
            columns=values["columns"],
            kept=tuple(values["kept"]),
            typed=frozenset(values["typed"]),
            answers=values["answers"],
            where=None if values["where"] is None else parse_where(values["where"]),
            store=store_of(values["store"]),
            shape=Shape.from_json(values["shape"]),
        )


@dataclass(frozen=True)
class SplitTask:
    """One split: the rows `file` names (the first `n_rows` of them), and the name of its part.

    `identity` is the state of the file (`identity_of`) when the run was planned. `given_up` are rows (of the file) that
    are not computed any more: [row, code, message]; `careful` are rows that are computed apart from all others and at
    most so many at a call, because a worker was lost or hung in a call with them: [[[first, last + 1], …], rows]; of
    two that share rows, the later one holds.
    """

    index: int
    name: str
    file: FileSplit
    n_rows: int
    identity: Identity
    given_up: Sequence[tuple[int, str, str]] = ()
    careful: Sequence[tuple[Sequence[Sequence[int]], int]] = ()

    @property
    def stem(self) -> str:
        return self.name.partition(".")[0]

    def to_json(self) -> dict[str, Any]:
        return {
            "index": self.index,
            "name": self.name,
            "file": self.file.to_json(),
            "n_rows": self.n_rows,
            "identity": self.identity,
            "given_up": [list(item) for item in self.given_up],
            "careful": [list(item) for item in self.careful],
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> SplitTask:
        return cls(
            index=values["index"],
            name=values["name"],
            file=FileSplit.from_json(values["file"]),
            n_rows=values["n_rows"],
            identity=values["identity"],
            given_up=[tuple(item) for item in values["given_up"]],
            careful=[(runs, rows) for runs, rows in values["careful"]],
        )
