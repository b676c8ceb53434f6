"""Options with units: "500ms", "2m", "1d"; "500/s", "30/min"; "1%"; "500kB", "32MiB"; "2M"; "0.10/h", "1.25/M"."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

import click

__all__ = ["COUNT", "DURATION", "HOURLY", "PER_MILLION", "RATE", "SHARE", "SIZE", "WORKERS"]

SECONDS = {"": 1.0, "us": 1e-6, "ms": 1e-3, "s": 1.0, "sec": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86_400.0}
BYTES = {"": 1, "b": 1, **{f"{p}{end}": 10**n for n, p in ((3, "k"), (6, "m"), (9, "g")) for end in ("", "b")}}
BYTES |= {"kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30}
NUMBER = r"\s*(\d+(?:[_,]?\d+)*(?:\.\d+)?(?:e\d+)?)\s*"


if TYPE_CHECKING:
    _Type = click.ParamType[float]
    _Whole = click.ParamType[int]
else:
    _Type = _Whole = click.ParamType  # before click 8.3 it takes no parameter


class _WithUnit(_Type):
    """A number with a unit, more than 0; gives the number in the unit that is meant here."""

    def __init__(self, name: str, pattern: str, example: str) -> None:
        self.name = name
        self._pattern = pattern
        self._example = example

    def _of(self, number: float, seconds: float) -> float:
        return number * seconds

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, int | float):
            return float(value)
        found = re.fullmatch(NUMBER + self._pattern, str(value).lower())
        seconds = SECONDS.get(found[2] or "") if found else None
        if found is None or seconds is None:
            self.fail(f"{value!r} is no {self.name}. It looks like {self._example}.", param, ctx)
        number = self._of(float(re.sub("[_,]", "", found[1])), seconds)
        if not (number > 0 and math.isfinite(number)):
            self.fail(f"{value!r}: it must be more than 0.", param, ctx)
        return number


class _Rate(_WithUnit):
    def _of(self, number: float, seconds: float) -> float:
        return number / seconds


class _Share(_Type):
    """A part of a whole: 1%, or 0.01; more than 0, at most all."""

    name = "share"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, int | float):
            return float(value)
        found = re.fullmatch(NUMBER + r"(%?)\s*", str(value).lower())
        share = float(re.sub("[_,]", "", found[1])) / (100 if found[2] else 1) if found else 0.0
        if not 0 < share <= 1:
            self.fail(f"{value!r} is no share. It looks like 1% or 0.01, more than 0 and at most 100%.", param, ctx)
        return share


class _Size(_Whole):
    """A number of bytes, at least 1."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        found = re.fullmatch(NUMBER + r"([a-z]*)\s*", str(value).lower())
        if found is None or found[2] not in BYTES:
            self.fail(f"{value!r} is no size. It looks like 1000000, 500kB, 32MiB or 1GB.", param, ctx)
        size = int(float(re.sub("[_,]", "", found[1])) * BYTES[found[2]])
        if not size:
            self.fail(f"{value!r}: it must be at least a byte.", param, ctx)
        return size


class _Scaled(_Type):
    """A number, and what may follow it: each of `units` with what it multiplies by."""

    def __init__(self, name: str, units: dict[str, float], example: str, *, zero: bool = False) -> None:
        self.name = name
        self._units = units
        self._example = example
        self._zero = zero

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, int | float):
            return float(value)
        found = re.fullmatch(NUMBER + r"(/?[a-z]*)\s*", str(value).lower())
        times = self._units.get(found[2]) if found else None
        if found is None or times is None:
            self.fail(f"{value!r} is no {self.name}. It looks like {self._example}.", param, ctx)
        number = float(re.sub("[_,]", "", found[1])) * times
        if not (math.isfinite(number) and (number > 0 or self._zero)):
            self.fail(f"{value!r}: it must be more than 0.", param, ctx)
        return number


SHARE = _Share()
COUNT = _Scaled("number", {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9, "b": 1e9}, "250000, 250k or 2.5M")
HOURLY = _Scaled("price", {"": 1.0, "/h": 1.0}, "0.10/h", zero=True)
PER_MILLION = _Scaled("price", {"": 1.0, "/m": 1.0}, "1.25/M", zero=True)
SIZE = _Size()
DURATION = _WithUnit("duration", r"([a-z]*)\s*", "10s, 500ms or 2m")
RATE = _Rate("rate", r"(?:/\s*([a-z]+))?\s*", "500/s or 30/min")


class _Workers(_Whole):
    """How many workers: a whole number; None for auto."""

    name = "number of workers"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "auto":
            return None
        if not str(value).isdecimal() or int(value) < 1:
            self.fail(f"{value!r} is neither auto nor a number of at least 1.", param, ctx)
        return int(value)


WORKERS = _Workers()
