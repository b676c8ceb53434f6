"""What a model costs on this machine: measured before it serves, and learned while it does."""

from __future__ import annotations

import bisect
import hashlib
import json
import os
import platform
import statistics
import sys
import time
from collections import deque
from contextlib import suppress
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from twofold._columns import Batch
from twofold._errors import RowsDoNotFit
from twofold._signature import (
    Bool,
    Bytes,
    Choice,
    Constraints,
    Date,
    Datetime,
    Field,
    Float,
    Int,
    List,
    Signature,
    String,
    Struct,
    Tensor,
    Type,
)

if TYPE_CHECKING:
    from twofold._runner import Runner

__all__ = ["Profile", "invented_row", "measure_calls_s", "measure_one_row_s", "profile_path"]

Row = tuple[Any, ...]

WARM_UP_CALLS = 3
MOST_CALLS = 50
LONGEST_S = 0.3
LARGEST_CALL, CALLS_OF_A_SIZE = 4096, 3

SIZES = 40  # 1, 2, 3-4, 5-8, … rows
KEPT_CALLS = 32  # of each size: older ones are forgotten
SETTLED_CALLS, SETTLED_CHEAP_CALLS, CHEAP_S = 16, 128, 0.001  # how often what the latest calls say is worked out
TRIED_CALLS = 4  # fewer say too little about whether a size is worth it
STALE_CALLS = 20_000  # a size that has not been seen for so long says nothing any more
REMEMBERED_AS = 8  # so many calls does a size that was read from the disk count for
HIGH = 0.9
FARTHEST = 4  # t(n) is believed up to so many times the largest call that was seen


class Profile:
    """t(n): the seconds that a call with n rows takes, learned from the latest calls of each size.

    `typical_s` is their median, `seconds_for` the time that nine of ten stay within. `changes` grows whenever what is
    known has changed. `most_rows`: a larger call ran out of memory. `slow`: its one-row calls have held a server
    process up; it starts in model processes.
    """

    def __init__(self) -> None:
        self._sizes = [_Size() for _ in range(SIZES)]
        self._calls = 0
        self._rows: list[float] = []  # of the sizes that are known, rising, with their times
        self._high_s: list[float] = []
        self._typical_s: list[float] = []
        self._tried: list[bool] = []
        self.changes = 0
        self.most_rows: int | None = None
        self.slow = False

    @property
    def known(self) -> bool:
        return bool(self._rows)

    @property
    def largest(self) -> int:
        """Rows of the largest calls that were seen; 0 when none was."""
        return int(self._rows[-1]) if self._rows else 0

    def learn(self, n_rows: int, seconds: float) -> None:
        """A call with `n_rows` rows (at least one) took so long."""
        size = self._sizes[(n_rows - 1).bit_length()]
        size.recent.append((n_rows, seconds))
        size.fresh += 1
        if size.fresh >= size.enough:
            self._settle(size)

    def seconds_for(self, n_rows: int) -> float:
        """What nine of ten calls with so many rows stay within; 0.0 as long as nothing is known."""
        return self._at(self._high_s, n_rows)

    def typical_s(self, n_rows: int) -> float:
        """The median of calls with so many rows; 0.0 as long as nothing is known."""
        return self._at(self._typical_s, n_rows)

    def rows_within(self, seconds: float, *, typically: bool = False) -> int:
        """The most rows (at least 1) whose call takes no longer, nine times of ten or `typically`, as far as can be
        told from the calls seen so far."""
        rows, times = self._rows, self._typical_s if typically else self._high_s
        if not rows:
            return 1
        at = bisect.bisect_right(times, seconds)
        if at == 0:
            most = rows[0] * seconds / times[0]
        elif at == len(rows):
            most = min(rows[-1] + (seconds - times[-1]) / self._slope(times), FARTHEST * rows[-1])
        else:
            share = (seconds - times[at - 1]) / (times[at] - times[at - 1])
            most = rows[at - 1] + share * (rows[at] - rows[at - 1])
        return max(1, int(most))

    def worthwhile_rows(self, gain: float, tried_rows: int) -> int:
        """The fewest rows from which on a larger call makes a row cheaper by no more than `gain`, a share of its cost.

        Sizes up to `tried_rows` are worth a try as long as they are not known, and beyond that twice the largest as
        long as that still gains.
        """
        known = [at for at, tried in enumerate(self._tried) if tried]
        if not known:
            return max(1, int(self._rows[0])) if self._rows else 1
        rows = [self._rows[at] for at in known]
        times = [self._typical_s[at] for at in known]
        each = [seconds / n_rows for n_rows, seconds in zip(rows, times, strict=True)]
        if rows[-1] < tried_rows or (len(each) > 1 and each[-1] < (1 - gain) * min(each[:-1])):
            return 2 * int(rows[-1])
        wanted = min(each) * (1 + gain)
        at = next(at for at, seconds in enumerate(each) if seconds <= wanted)
        if at == 0:
            return max(1, int(rows[0]) // 2)  # half may be as good
        slope = (times[at] - times[at - 1]) / (rows[at] - rows[at - 1])
        if slope >= wanted:
            return int(rows[at])
        return max(1, int((times[at - 1] - slope * rows[at - 1]) / (wanted - slope) + 0.999))

    def shrink(self, n_rows: int) -> None:
        """A call with so many rows ran out of memory: half of them is the most from now on."""
        self.most_rows = max(1, min(self.most_rows or n_rows, n_rows) // 2)
        self.changes += 1

    def _settle(self, size: _Size) -> None:
        self._calls += size.fresh
        size.calls += size.fresh
        size.fresh = 0
        size.seen_at = self._calls
        # Calls of about one size: the longer ones are the larger ones, so that the median time is that of the median.
        calls = sorted((seconds, n_rows) for n_rows, seconds in size.recent)
        size.typical_s, size.rows = calls[(len(calls) - 1) // 2]
        high_s, rows = calls[int(HIGH * (len(calls) - 1))]
        size.high_s = max(size.typical_s, high_s * min(1.0, size.rows / rows))
        size.enough = min(size.calls, SETTLED_CALLS if size.typical_s > CHEAP_S else SETTLED_CHEAP_CALLS)
        self._draw()

    def _draw(self) -> None:
        known = [s for s in self._sizes if s.recent and self._calls - s.seen_at <= STALE_CALLS]
        self._rows = [size.rows for size in known]
        self._tried = [size.calls >= TRIED_CALLS for size in known]
        # More rows take no less time: where it looks so, the larger size is right about both.
        self._high_s, self._typical_s = _rising([s.high_s for s in known]), _rising([s.typical_s for s in known])
        self.changes += 1

    def _at(self, times: list[float], n_rows: int) -> float:
        rows = self._rows
        if not rows:
            return 0.0
        at = bisect.bisect_left(rows, n_rows)
        if at == 0:
            return times[0] * n_rows / rows[0]
        if at == len(rows):
            return times[-1] + (n_rows - rows[-1]) * self._slope(times)
        share = (n_rows - rows[at - 1]) / (rows[at] - rows[at - 1])
        return times[at - 1] + share * (times[at] - times[at - 1])

    def _slope(self, times: list[float]) -> float:
        """Seconds that each row beyond the largest size adds."""
        rows = self._rows
        each = max(times[-1] / rows[-1], 1e-9)
        if len(rows) == 1:
            return each
        return max((times[-1] - times[-2]) / (rows[-1] - rows[-2]), each / 10)

    # ---- kept from one start to the next ----

    def to_json(self) -> dict[str, Any]:
        sizes = [[s.rows, s.typical_s, s.high_s] for s in self._sizes if s.recent]
        return {"sizes": sizes, "most_rows": self.most_rows, "slow": self.slow}

    @classmethod
    def from_json(cls, found: Any) -> Self:
        """Raises KeyError, TypeError or ValueError for anything but what `to_json` gave."""
        profile = cls()
        for rows, typical_s, high_s in found["sizes"]:
            if not (1 <= rows < 1 << (SIZES - 1) and 0 < typical_s <= high_s < 1e6):
                raise ValueError("this is not the profile of a model")
            usual, slower = [(rows, typical_s)], [(rows, high_s)]
            size = profile._sizes[max(0, int(rows + 0.5) - 1).bit_length()]
            size.recent.extend(usual * (REMEMBERED_AS - 2) + slower * 2)
            size.fresh = REMEMBERED_AS
            profile._settle(size)
        most_rows, profile.slow = found["most_rows"], bool(found["slow"])
        profile.most_rows = None if most_rows is None else max(1, int(most_rows))
        return profile

    @classmethod
    def read(cls, path: Path) -> Self:
        """The profile that was kept there; one that knows nothing where there is none that can be read."""
        try:
            return cls.from_json(json.loads(path.read_bytes()))
        except (OSError, ValueError, KeyError, TypeError):
            return cls()

    def write(self, path: Path) -> None:
        """Keep it. A disk that takes nothing costs nothing but what was learned."""
        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            fresh = path.with_name(f"{path.name}.{os.getpid()}")
            fresh.write_text(json.dumps(self.to_json()))
            fresh.replace(path)


class _Size:
    """The calls of about one size."""

    __slots__ = ("calls", "enough", "fresh", "high_s", "recent", "rows", "seen_at", "typical_s")

    def __init__(self) -> None:
        self.recent: deque[tuple[float, float]] = deque(maxlen=KEPT_CALLS)
        self.calls = self.fresh = 0  # seen; and since it was last settled
        self.enough = 1
        self.seen_at = 0
        self.rows = self.high_s = self.typical_s = 0.0


def _rising(times: list[float]) -> list[float]:
    for at in range(len(times) - 2, -1, -1):
        times[at] = min(times[at], times[at + 1])
    return times


def profile_path(version: str) -> Path:
    """Where the profile of a model is kept: it is of this version, on this kind of CPU, with so many threads."""
    threads = os.environ.get("OMP_NUM_THREADS", "")
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count()
    machine = hashlib.sha256(f"{_cpu_name()}\0{cores}\0{threads}".encode()).hexdigest()[:12]
    return _cache_folder() / "profiles" / f"{version}-{machine}.json"


def _cache_folder() -> Path:
    given = os.environ.get("TWOFOLD_CACHE_DIR")
    if given:
        return Path(given)
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home()) / "twofold"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "twofold"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "twofold"


def _cpu_name() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def measure_one_row_s(runner: Runner, example: Row | None) -> float | None:
    """The median seconds that a call with one row takes after a warm-up, which this is at the same time.

    `example`: the row to call with; None: one is invented from the signature. Takes 0.3 s, or a few calls where one is
    longer than that. None when there is no row that the model answers.
    """
    row = example if example is not None else invented_row(runner.signature)
    if row is None:
        return None
    schema = runner.signature.input_schema
    took: list[float] = []
    began = time.perf_counter()
    # at least two calls: the first may have loaded something
    while len(took) < 2 or (len(took) < MOST_CALLS and time.perf_counter() - began < LONGEST_S):
        start = time.perf_counter()
        result = runner.run(Batch.from_rows(schema, [row]))
        took.append(time.perf_counter() - start)
        if result.failures:
            return None
    return statistics.median(took[min(WARM_UP_CALLS, len(took) - 1) :])


def measure_calls_s(runner: Runner, example: Row | None, one_row_s: float) -> list[tuple[int, float]]:
    """Rows of a call, and the median seconds of three such calls, for 1, 4, 16, … rows that are all the same.

    Stops at 4,096 rows, or before a call would take longer than 0.3 s.
    """
    row = example if example is not None else invented_row(runner.signature)
    found = [(1, one_row_s)]
    while row is not None and found[-1][0] < LARGEST_CALL and 4 * found[-1][1] < LONGEST_S:
        n_rows, took = 4 * found[-1][0], []
        for _ in range(CALLS_OF_A_SIZE):
            start = time.perf_counter()
            runner.run(Batch.from_rows(runner.signature.input_schema, [row] * n_rows))
            took.append(time.perf_counter() - start)
        found.append((n_rows, statistics.median(took)))
    return found


def invented_row(signature: Signature) -> Row | None:
    """A row that fits the signature; None where its constraints are beyond guessing (a pattern, say)."""
    try:
        return signature.row({field.name: _value(field) for field in signature.inputs if field.required})
    except (RowsDoNotFit, ValueError):
        return None


def _value(field: Field) -> Any:
    """A plausible value of the field, as a Python value that its signature reads."""
    return None if field.nullable else _of_type(field.type, field)


def _of_type(kind: Type, field: Field) -> Any:
    match kind:
        case Bool():
            return False
        case Int(_, _) | Float(_):
            return _number(field, whole=isinstance(kind, Int))
        case String():
            return "a" * (field.constraints.min_length or 0)
        case Bytes():
            return bytes(field.constraints.min_length or 0)
        case Datetime(naive):
            return datetime(2000, 1, 1, tzinfo=None if naive else UTC)
        case Date():
            return date(2000, 1, 1)
        case Choice(values):
            return values[0]
        case Tensor(item, shape):
            value = _of_type(item, field)
            for length in reversed(shape):
                value = [value] * length
            return value
        case List(item):
            return [_value(item)] * (field.constraints.min_length or 0)
        case Struct(fields):
            return {inner.name: _value(inner) for inner in fields if inner.required}


def _number(field: Field, *, whole: bool) -> float | int:
    """0 where it may be 0, otherwise a number at or beside one of the bounds."""
    given = field.constraints
    step = given.multiple_of or 1
    bounds = [bound for bound in (given.ge, given.gt, given.le, given.lt) if bound is not None]
    near = [bound + shift for bound in bounds for shift in (0, step, -step)] + [sum(bounds) / max(len(bounds), 1)]
    if given.multiple_of or whole:
        near = [whole_steps * step for number in near for whole_steps in (number // step, number // step + 1)]
    return next((int(n) if whole else n for n in [0, *near] if _allowed(n, given)), 0)


def _allowed(number: float, given: Constraints) -> bool:
    return (
        (given.ge is None or number >= given.ge)
        and (given.gt is None or number > given.gt)
        and (given.le is None or number <= given.le)
        and (given.lt is None or number < given.lt)
    )
