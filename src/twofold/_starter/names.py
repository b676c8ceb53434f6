"""Names of columns as names in Python."""

from __future__ import annotations

import keyword
import re
import unicodedata
from collections.abc import Iterable
from typing import Final

__all__ = ["attribute_names", "class_name"]

# What the annotations of the written file use: a field of such a name would hide it from those below.
USED: Final = frozenset(
    ("bool", "int", "float", "str", "bytes", "list", "dt", "np", "npt", "msgspec", "twofold", "dataclass", "Annotated")
)


def attribute_names(columns: Iterable[str]) -> dict[str, str]:
    """Column -> attribute: the same where Python can write it so, else the nearest free name."""
    columns = list(columns)
    names = {column: column for column in columns if _is_plain(column)}
    taken = set(names.values())
    for column in columns:
        if column not in names:
            names[column] = _free(_nearest(column), taken)
            taken.add(names[column])
    return names


def class_name(attribute: str, taken: set[str]) -> str:
    """A new name for the class of a nested field; it is added to `taken`."""
    found = _free("".join(part[:1].upper() + part[1:] for part in attribute.split("_")) or "Nested", taken)
    taken.add(found)
    return found


def _is_plain(column: str) -> bool:
    return (
        column.isidentifier()
        and not keyword.iskeyword(column)
        and not column.startswith("__")  # which a class would mangle
        and column not in USED
        and unicodedata.normalize("NFKC", column) == column  # as Python would
    )


def _nearest(column: str) -> str:
    words = re.sub(r"\W+", "_", unicodedata.normalize("NFKC", column)).strip("_").lower()
    if not words or not (words[0].isidentifier()):
        words = f"column_{words}".rstrip("_")
    if not words.isidentifier():  # digits that are none to Python: ² and the like
        words = re.sub(r"[^a-z0-9_]", "", words) or "column"
    return f"{words}_" if keyword.iskeyword(words) or words in USED else words


def _free(name: str, taken: set[str]) -> str:
    number, found = 1, name
    while found in taken:
        number += 1
        found = f"{name}_{number}"
    return found
