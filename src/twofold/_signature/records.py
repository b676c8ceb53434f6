"""JSON values of many lines -> typed columns: regular columns as a whole, the rest cell by cell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from twofold._columns.codecs import codec_of
from twofold._signature.arrow import arrow_reader
from twofold._signature.column import plain_array, read_cells
from twofold._signature.decode import missing
from twofold._signature.misfit import Misfit
from twofold._signature.types import MISSING, Bool, Choice, Field, Float, Int, String, arrow_type
from twofold._signature.values import Reader, Rules, default_of, value_reader

if TYPE_CHECKING:
    import pyarrow as pa

    from twofold._signature.column import ColumnReader

__all__ = ["JsonColumn"]


class JsonColumn:
    """Reads one field of many JSON objects."""

    def __init__(self, field: Field, rules: Rules) -> None:
        self.field = field
        self._read: Reader = value_reader(field, rules)
        self._column: ColumnReader = arrow_reader(field, rules)

    def read(self, objects: Sequence[dict[str, Any]]) -> tuple[pa.Array, dict[int, Misfit]]:
        """The typed column, and what does not fit by index (those entries are not to be used)."""
        name = self.field.name
        return self.read_values([given.get(name, MISSING) for given in objects])

    def read_values(self, values: list[Any]) -> tuple[pa.Array, dict[int, Misfit]]:
        """The same of the field's own values; MISSING where there is none."""
        whole = self._regular(values)
        if whole is not None:
            return self._column(whole)
        there = [at for at, value in enumerate(values) if value is not MISSING]
        fits, errors = read_cells([values[at] for at in there], there, self._read)
        if len(there) < len(values):
            absent = [at for at, value in enumerate(values) if value is MISSING]
            if self.field.required:
                errors |= {at: missing(self.field, named=False) for at in absent}
            else:
                fits |= {at: default_of(self.field) for at in absent}
        codec = codec_of(arrow_type(self.field.type), True)
        return codec.arrow_from_values([fits.get(at) for at in range(len(values))]), errors

    def _regular(self, values: list[Any]) -> pa.Array | None:
        """The values as an Arrow column when they are all of one plain kind that Arrow holds without loss."""
        import pyarrow as pa

        kinds = set(map(type, values))
        kinds.discard(type(None))
        kind = self.field.type
        try:
            if kinds == {float} and isinstance(kind, Float):
                return pa.array(values, pa.float64())
            if kinds == {float, int} and isinstance(kind, Float):
                return pa.array([None if value is None else float(value) for value in values], pa.float64())
            if kinds == {int} and isinstance(kind, Int | Float | Choice):
                return pa.array(values, pa.int64())
            if kinds == {str} and isinstance(kind, String | Choice):
                return plain_array(pa.array(values, pa.string()))
            if kinds == {bool} and isinstance(kind, Bool):
                return pa.array(values, pa.bool_())
        except (OverflowError, UnicodeEncodeError, pa.ArrowInvalid):
            pass  # cell by cell, to name the one at fault
        return None
