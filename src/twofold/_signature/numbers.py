"""Exact integers and nearest floats out of anything that is a number."""

from __future__ import annotations

import math
import re
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from twofold._signature.misfit import JsonNumber

__all__ = ["FLOAT_WORDS", "as_float", "as_int", "float_of_text", "int_of_text"]

# Protobuf's JSON mapping: the only strings that are floats.
FLOAT_WORDS: Final = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}

_HUGE: Final = 10**40  # stands for any integer that no type can hold
_WHOLE = re.compile(r"[+-]?[0-9]+")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
# pyarrow writes `nan` and `inf` into CSV, others NaN, Inf, Infinity: in a text cell of a float all of them are read.
_TEXT_WORDS = re.compile(r"(?i:nan|[+-]?inf|[+-]?infinity)")


def as_int(value: Any) -> int | None:
    """The integer that this number is, exactly: 7.0 is 7; None for 7.5, for true and for anything that is no number."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    if isinstance(value, JsonNumber):
        return _whole_decimal(value.text)
    if isinstance(value, Decimal):
        return _whole(value)
    if _is_numpy_number(value):
        return as_int(value.item())
    return None


def as_float(value: Any) -> float | None:
    """The float64 nearest to this number; None for what is no number.

    Raises OverflowError when a finite number lies beyond float64.
    """
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return float(value)
    if isinstance(value, str):
        return FLOAT_WORDS.get(value)
    if isinstance(value, JsonNumber):
        return _finite(float(value.text))
    if isinstance(value, Decimal):
        number = float(value)
        return number if not value.is_finite() else _finite(number)
    if _is_numpy_number(value):
        return float(value) if value.dtype.kind == "f" else as_float(value.item())
    return None


def _is_numpy_number(value: Any) -> bool:
    """A NumPy scalar, or an array without dimensions, that holds an integer or a float."""
    kind = type(value)
    return kind.__module__ == "numpy" and getattr(value, "shape", None) == () and value.dtype.kind in "iuf"


def _finite(number: float) -> float:
    if math.isinf(number):
        raise OverflowError
    return number


def _whole_decimal(text: str) -> int | None:
    try:
        return _whole(Decimal(text))
    except InvalidOperation:  # an exponent beyond what Decimal holds
        return None


def _whole(number: Decimal) -> int | None:
    if not number.is_finite():
        return None
    if number and number.adjusted() > 30:  # never spell out 1e1000000
        return -_HUGE if number < 0 else _HUGE
    if not number:
        return 0
    whole = int(number)
    return whole if whole == number else None


def int_of_text(text: str) -> int | None:
    """The integer that a text cell spells, exactly (`7`, `007`, `7.0`, `7e2`); None for any other text."""
    if _WHOLE.fullmatch(text):
        return int(text) if len(text) <= 40 else _whole_decimal(text)
    return _whole_decimal(text) if _NUMBER.fullmatch(text) else None


def float_of_text(text: str) -> float | None:
    """The float64 nearest to what a text cell spells; None for any other text; OverflowError beyond float64."""
    if _NUMBER.fullmatch(text):
        number = _finite(float(text))
        # JSON's -0 is an integer and so 0.0; the same text means the same here
        return 0.0 if number == 0 and _WHOLE.fullmatch(text) else number
    if _TEXT_WORDS.fullmatch(text):
        return float(text)
    return None
