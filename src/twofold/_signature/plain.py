"""Values that are canonical as they are: known by their type, one at a time or a whole column at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twofold._signature.types import UNCONSTRAINED, Bool, Field, Float, Int, String, arrow_type

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["PlainValues", "plain_values"]


class PlainValues:
    """The values of a simple field without constraints that need no reading.

    kind       their exact type; an int is within the range of the field, a str has no half of a character
    condition  Python that says whether `value` is one for certain; it may be false of one, such as a str beyond ASCII
    """

    __slots__ = ("_nullable", "_type", "condition", "kind")

    def __init__(self, field: Field, kind: type) -> None:
        self._type = field.type
        self._nullable = field.nullable
        self.kind = kind
        self.condition = f"type(value) is {kind.__name__}"
        if isinstance(field.type, String):
            self.condition += " and value.isascii()"
        elif isinstance(field.type, Int):
            self.condition += f" and {field.type.low} <= value <= {field.type.high}"

    def column(self, values: list[Any]) -> pa.Array | None:
        """The column of exactly what reading these values one by one gives; None where that must be done."""
        import pyarrow as pa

        from twofold._columns.texts import text_array

        if self.kind is str:
            return text_array(values, nullable=self._nullable)
        kinds = set(map(type, values))
        if self._nullable:
            kinds.discard(type(None))
        try:
            if self.kind is float and int in kinds and kinds <= {float, int}:
                values = [None if value is None else float(value) for value in values]
            elif not kinds <= {self.kind}:
                return None
            return pa.array(values, arrow_type(self._type))
        except (OverflowError, pa.ArrowInvalid):  # an int out of range
            return None


def plain_values(field: Field) -> PlainValues | None:
    """The plain values of this field; None where there are none."""
    if field.constraints != UNCONSTRAINED:
        return None
    match field.type:
        case String():
            return PlainValues(field, str)
        case Bool():
            return PlainValues(field, bool)
        case Int():
            return PlainValues(field, int)
        case Float(64):
            return PlainValues(field, float)
    return None
