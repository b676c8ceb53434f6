"""Instants and dates: RFC 3339 text and Python's date types -> UTC microseconds, nothing cut off on the way."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import Any

from twofold._signature.misfit import Misfit
from twofold._signature.objects import is_null

__all__ = ["date_text", "instant_text", "read_date_text", "read_instant_text", "to_instant"]

UTC = UTC
_EPOCH = datetime(1970, 1, 1)
_INSTANT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ](?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.([0-9]+))?"
    r"([Zz]|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])?"
)
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_NO_ZONE = "it has no zone; add Z or an offset such as +01:00"
_HAS_ZONE = "it has a zone, and the field is declared without one"
_TOO_FINE = "finer than a microsecond"
_EXAMPLE = "such as 2026-11-01T12:30:00Z"
_NAIVE_EXAMPLE = "such as 2026-11-01T12:30:00"


def read_instant_text(text: str, naive: bool, expected: str) -> datetime:
    """RFC 3339 text (`T` or a space) -> a UTC datetime, or a naive one when the field is declared so."""
    match = _INSTANT.fullmatch(text)
    if match is None:
        raise Misfit(expected, text, _NAIVE_EXAMPLE if naive else _EXAMPLE)
    fraction, zone = match.groups()
    if zone is None and not naive:
        raise Misfit(expected, text, _NO_ZONE)
    if zone is not None and naive:
        raise Misfit(expected, text, _HAS_ZONE)
    if fraction is not None and len(fraction) > 6:
        if fraction[6:].strip("0"):
            raise Misfit(expected, text, _TOO_FINE)
        text = text[: match.start(1) + 6] + text[match.end(1) :]
    try:
        moment = datetime.fromisoformat(text.upper())
        return moment if naive else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise Misfit(expected, text, "no such moment in the years 1 to 9999") from None


def read_date_text(text: str, expected: str) -> date:
    """`2026-11-01` -> a date."""
    if _DATE.fullmatch(text) is None:
        raise Misfit(expected, text, "such as 2026-11-01")
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise Misfit(expected, text, "no such day in the years 1 to 9999") from None


def to_instant(value: Any, naive: bool, expected: str) -> datetime:
    """A datetime, a pandas Timestamp or a NumPy datetime64 (which counts UTC) -> the canonical datetime."""
    if isinstance(value, str):
        return read_instant_text(str.__str__(value), naive, expected)
    if type(value).__name__ == "datetime64" and type(value).__module__ == "numpy":
        return _numpy_instant(value, naive, expected)
    if not isinstance(value, datetime) or is_null(value):
        raise Misfit(expected, value)
    if getattr(value, "nanosecond", 0):
        raise Misfit(expected, value.isoformat(), _TOO_FINE, as_text=True)
    plain = value if type(value) is datetime else _plain(value)
    if plain.utcoffset() is None:
        if naive:
            return plain
        raise Misfit(expected, plain.isoformat(), _NO_ZONE, as_text=True)
    if naive:
        raise Misfit(expected, plain.isoformat(), _HAS_ZONE, as_text=True)
    try:
        return plain.astimezone(UTC)
    except OverflowError:
        raise Misfit(expected, plain.isoformat(), "no such moment in the years 1 to 9999", as_text=True) from None


def _plain(value: datetime) -> datetime:
    return datetime.combine(value.date(), value.timetz())


def _numpy_instant(value: Any, naive: bool, expected: str) -> datetime:
    micros = value.astype("datetime64[us]")
    if micros.astype(value.dtype) != value:
        raise Misfit(expected, str(value), _TOO_FINE, as_text=True)
    try:
        moment = _EPOCH + timedelta(microseconds=int(micros.astype("int64")))
    except OverflowError:
        raise Misfit(expected, str(value), "no such moment in the years 1 to 9999", as_text=True) from None
    return moment if naive else moment.replace(tzinfo=UTC)


def instant_text(value: datetime) -> str:
    """The shortest RFC 3339 text that reads back: `2026-11-01T12:30:00Z`, with six digits where there are micros."""
    text = value.isoformat()
    return text[:-6] + "Z" if text.endswith("+00:00") else text


def date_text(value: date) -> str:
    return value.isoformat()
