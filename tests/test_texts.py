"""String columns made at once are those that Arrow makes value by value."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twofold._columns.texts import SHORT_BYTES, numpy_text_array, text_array

ANY_TEXT = st.text(st.characters(), max_size=2 * SHORT_BYTES)  # with halves of characters
SHORT = st.text(st.characters(max_codepoint=127), max_size=SHORT_BYTES)
VALUES = st.one_of(SHORT, SHORT, ANY_TEXT)


def by_arrow(values: list[Any]) -> pa.Array | None:
    try:
        return pa.array(values, pa.string())
    except UnicodeEncodeError:
        return None


@given(st.one_of(st.lists(SHORT), st.lists(VALUES)))
def test_lists(values: list[str]) -> None:
    found, expected = text_array(values), by_arrow(values)
    assert (found is None) == (expected is None)
    if found is not None:
        found.validate(full=True)
        assert found.equals(expected)


@given(st.one_of(st.lists(SHORT), st.lists(VALUES)), st.booleans())
def test_arrays(values: list[str], swapped: bool) -> None:
    array = np.array(values, dtype=np.str_)
    if swapped:
        array = array.astype(array.dtype.newbyteorder())
    expected = by_arrow(array.tolist())  # NumPy takes a NUL at the end for padding
    if expected is None:
        with pytest.raises(UnicodeEncodeError):
            numpy_text_array(array)
        return
    found = numpy_text_array(array)
    found.validate(full=True)
    assert found.equals(expected)


def test_a_strided_array() -> None:
    array = np.array(["a", "bb", "", "dddd", "e"] * 100)[::-2]
    assert numpy_text_array(array).to_pylist() == array.tolist()


@pytest.mark.parametrize("other", [None, b"bytes", 1, 1.5, ["a"], ("a",), object()])
def test_what_is_no_string(other: Any) -> None:
    for at in (0, 70, 99):
        values = ["text"] * 100
        values[at] = other
        assert text_array(values) is None
        found = text_array(values, nullable=True)
        if other is None:
            assert found is not None
            assert found.to_pylist() == values
        else:
            assert found is None


def test_a_class_of_strings_counts_as_its_text() -> None:
    class Shouting(str):
        __slots__ = ()

        def __str__(self) -> str:
            return self.upper()

    for filler in ("a", "a" * 100):
        found = text_array([filler, Shouting("b"), np.str_("c")])
        assert found is not None
        assert found.to_pylist() == [filler, "b", "c"]
