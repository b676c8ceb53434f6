"""Shape: how a hint says that an array has a fixed length or size."""

from __future__ import annotations

from twofold._errors import ModelError

__all__ = ["Shape"]


class Shape:
    """The fixed shape of ONE row's value: `Annotated[NDArray[np.float32], Shape(30)]` is a vector of 30 float32.

    `Shape(28, 28)` is a matrix, row-major. It also gives a plain list its length: `Annotated[list[float], Shape(3)]`.
    Raises ModelError for a size that is not a whole number of at least 1.
    """

    __slots__ = ("lengths",)

    def __init__(self, *lengths: int) -> None:
        if not lengths or any(type(length) is not int or length < 1 for length in lengths):
            shown = ", ".join(map(repr, lengths))
            raise ModelError(
                f"Shape({shown}) is not a shape: write whole numbers of at least 1, such as Shape(30) for a vector or "
                "Shape(28, 28) for a matrix. A list of any length needs no Shape: write list[float]."
            )
        self.lengths: tuple[int, ...] = lengths

    def __repr__(self) -> str:
        return f"Shape({', '.join(map(str, self.lengths))})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Shape) and other.lengths == self.lengths

    def __hash__(self) -> int:
        return hash(self.lengths)
