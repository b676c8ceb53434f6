"""What a comparison found: the numbers, the table made from them, and its JSON."""

from __future__ import annotations

import textwrap
from dataclasses import asdict, dataclass, field
from typing import Any

from twofold._compare.parity import Parity
from twofold._compare.price import Price
from twofold._compare.sustained import Sustained
from twofold._load.latency import MIN_P99_SAMPLES, Latency

__all__ = ["Alone", "BatchSide", "Comparison", "RealTimeSide", "factors", "parity_words"]


@dataclass(frozen=True, slots=True)
class Alone:
    """The model by itself in one process: `one_row_ms` is the median of a one-row call (None: it cannot be called),
    `loaded_mb` the memory of a process that has it loaded, `call_ms` the median of calls with so many equal rows."""

    one_row_ms: float | None
    loaded_mb: float | None
    call_ms: dict[int, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RealTimeSide:
    """Real time, measured over HTTP.

    `latency` is of single-row requests one at a time, `latency_loaded` of those at `connections` connections, where
    the throughput and the CPU time were taken. `start_s`: until the server was ready. `generator_busy` is the load
    generator's share of a core: near 1, the server could have answered more.
    """

    latency: Latency
    latency_loaded: Latency
    connections: int
    rows_per_second: float
    rows_per_call: float | None
    cpu_s_per_million_rows: float | None
    peak_mb: float | None
    start_s: float
    generator_busy: float
    rows_failed: int
    sustained: Sustained | None = None


@dataclass(frozen=True, slots=True)
class BatchSide:
    """Batch, measured as a whole process from its start until the last row was in its place.

    `start_s` is the time of a run over one row: what any run costs. The numbers `_after_start` are those of the
    other rows, None where these took too little time to tell.
    """

    seconds: float
    start_s: float
    rows_in: int
    rows_out: int
    rows_quarantined: int
    rows_per_second: float
    rows_per_second_after_start: float | None
    rows_per_call: float | None
    cpu_s_per_million_rows: float | None
    cpu_s_per_million_rows_after_start: float | None
    peak_mb: float | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """The two modes over the same rows. `print()` shows the table; `parity` says whether the answers are the same.

    `input` is a path, or "" for rows in memory. `rows_unfit` are those that do not fit the model: no mode was asked.
    """

    model: str
    version: str
    input: str
    rows: int
    rows_unfit: int
    alone: Alone
    real_time: RealTimeSide
    batch: BatchSide
    parity: Parity
    price: Price | None = None

    @property
    def exit_code(self) -> int:
        return 4 if self.parity.differ else 0

    @property
    def shortest_deadline_ms(self) -> float:
        """The shortest deadline that real time kept: the p99 of a row, or its slowest answer where there is none."""
        latency = self.real_time.latency
        return latency.max_ms if latency.p99_ms is None else latency.p99_ms

    @property
    def break_even_rows(self) -> float | None:
        """From how many rows at hand on a batch run ends before real time at full load would; None: never, or
        not to be told."""
        slower, faster = self.real_time.rows_per_second, self.batch.rows_per_second_after_start
        if not faster or faster <= slower:
            return None
        return self.batch.start_s / (1 / slower - 1 / faster)

    def to_json(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "version": self.version,
            "input": self.input,
            "rows": self.rows,
            "rows_unfit": self.rows_unfit,
            "alone": asdict(self.alone),
            "real_time": asdict(self.real_time),
            "batch": asdict(self.batch),
            "shortest_deadline_ms": self.shortest_deadline_ms,
            "break_even_rows": self.break_even_rows,
            "price": None if self.price is None else asdict(self.price),
            "parity": self.parity.to_json(),
        }

    def __str__(self) -> str:
        unfit = f" ({self.rows_unfit} more do not fit and were left out)" if self.rows_unfit else ""
        source = f"of {self.input}" if self.input else "in memory"
        title = f"{self.model}, version {self.version}, over {self.rows:,} rows {source}{unfit}"
        return "\n".join([title, "", *_table(factors(self)), "", *parity_words(self.parity)])


def factors(found: Comparison) -> list[tuple[str, str, str]]:
    """Factor, real time, batch."""
    live, stored, alone = found.real_time, found.batch, found.alone
    priced = [] if found.price is None else [("Price", *_prices(found.price))]
    return [
        ("Factor", "Real time", "Batch"),
        ("Latency", _latency(live), f"{_s(stored.seconds)} until the last of {_n(stored.rows_in)} rows was there"),
        ("Data size", _size(live.rows_per_call), _size(stored.rows_per_call)),
        ("Throughput", _live_rate(live), _stored_rate(stored)),
        (
            "Resource use",
            f"{_cpu(live.cpu_s_per_million_rows)}, {_mb(live.peak_mb)} at most",
            f"{_stored_cpu(stored)}, {_mb(stored.peak_mb)} at most",
        ),
        (
            "Complexity",
            f"{_alone(alone)}; the shortest deadline it kept: {_ms(found.shortest_deadline_ms)}",
            f"{_alone(alone)}; no deadline to keep",
        ),
        *priced,
        ("Output frequency", "per request: each answer as it is ready", "per run: all rows at once, at its end"),
        ("Use case", _live_use(found), _stored_use(found)),
    ]


def _latency(live: RealTimeSide) -> str:
    latency = live.latency
    if latency.p99_ms is None:
        tail = f"no p99 from {latency.samples} samples (it takes {MIN_P99_SAMPLES})"
    else:
        tail = f"p99 {_ms(latency.p99_ms)}"
    return f"p50 {_ms(latency.p50_ms)}, {tail} of a row"


def _live_rate(live: RealTimeSide) -> str:
    limit = "; the load generator was the limit" if live.generator_busy > 0.9 else ""
    held = live.sustained
    steady = ""
    if held is not None and held.rows_per_second:
        steady = f"; {_n(held.rows_per_second)} rows/s at random moments, p99 within {_ms(held.p99_bound_ms)}"
    elif held is not None:
        steady = f"; at no rate p99 within {_ms(held.p99_bound_ms)}"
    return f"{_n(live.rows_per_second)} rows/s at {live.connections} connections{limit}{steady}"


def _prices(price: Price) -> tuple[str, str]:
    def money(amount: float | None) -> str:
        return "not known" if amount is None else f"{amount:,.3g}"

    cores = f"{price.service_cores} core{'s' if price.service_cores > 1 else ''} always on"
    idle = "" if price.service_idle is None else f", {100 * price.service_idle:.3g} % idle"
    rows = f"at {_n(price.rows_per_day)} rows a day"
    live = f"{money(price.real_time_per_million)} a million predictions at full load"
    if price.batch_seconds is None:
        stored = "more rows (--limit) would tell"
    else:
        stored = f"{money(price.batch_per_million)} a million predictions after its start; {money(price.batch_per_day)}"
        stored += f" a day for one run over these, which takes {_s(price.batch_seconds)}"
    return f"{live}; {money(price.service_per_day)} a day for {cores}{idle} {rows}", stored


def _stored_rate(stored: BatchSide) -> str:
    after = stored.rows_per_second_after_start
    whole = f"{_n(stored.rows_per_second)} rows/s with its start"
    if after is None:
        return f"{whole}; more rows (--limit) would tell the speed after it"
    return f"{whole} of {_s(stored.start_s)}, {_n(after)} after it"


def _stored_cpu(stored: BatchSide) -> str:
    after = stored.cpu_s_per_million_rows_after_start
    text = f"{_cpu(stored.cpu_s_per_million_rows)} with its start"
    return f"{text}, {_n(after)} after it" if after else text


def _live_use(found: Comparison) -> str:
    within, rate = _ms(found.shortest_deadline_ms), _n(found.real_time.rows_per_second)
    return f"rows that come one by one and need an answer within {within}, up to {rate} a second"


def _stored_use(found: Comparison) -> str:
    even = found.break_even_rows
    wait = f"rows that can wait {_s(found.batch.seconds)}"
    if found.batch.rows_per_second_after_start is None:
        return f"{wait}; more rows (--limit) would tell from how many on it ends before real time at full load would"
    if even is None:
        return f"{wait}; it is not faster here than real time at full load"
    return f"{wait}; from about {_round(even)} rows on it ends before real time at full load would"


def parity_words(parity: Parity) -> list[str]:
    if not parity.rows:
        return ["Parity: there was no row to compare."]
    lines = [
        f"Parity: {parity.differ:,} of {parity.rows:,} rows differ beyond tolerance, {parity.differ_bytes:,} in bytes"
        + (f"; {parity.rows - parity.answered:,} were not answered by both" if parity.answered < parity.rows else "")
        + "."
    ]
    if parity.largest_row is not None:
        lines.append(f"Largest difference: {parity.largest:.3g} in {parity.largest_field!r}, row {parity.largest_row}.")
    lines += [
        f"  row {example['row']}: real time {_short(example['real_time'])}, batch {_short(example['batch'])}"
        for example in parity.examples
    ]
    return lines


def _short(value: object) -> str:
    import json

    return textwrap.shorten(json.dumps(value, ensure_ascii=False), 100, placeholder=" …")


def _table(rows: list[tuple[str, str, str]], width: int = 38) -> list[str]:
    """Three columns; long cells go on in the next line."""
    first = max(len(row[0]) for row in rows)
    lines = []
    for number, (name, *cells) in enumerate(rows):
        wrapped = [textwrap.wrap(cell, width) or [""] for cell in cells]
        for line in range(max(map(len, wrapped))):
            parts = [(name if line == 0 else "").ljust(first)]
            parts += [(lines_[line] if line < len(lines_) else "").ljust(width) for lines_ in wrapped]
            lines.append(" | ".join(parts).rstrip())
        if number == 0:
            lines.append("-+-".join(["-" * first, "-" * width, "-" * width]))
    return lines


def _size(rows: float | None) -> str:
    if rows is None:
        return "not known"
    return f"{rows:,.1f} rows a call" if rows < 100 else f"{rows:,.0f} rows a call"


def _n(number: float) -> str:
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


def _round(number: float) -> str:
    """Two digits: it is an estimate."""
    digits = max(0, len(str(int(number))) - 2)
    return f"{round(number, -digits):,.0f}"


def _ms(number: float) -> str:
    return f"{number:.3g} ms" if number < 1000 else _s(number / 1000)


def _s(number: float) -> str:
    return f"{number:.3g} s" if number < 100 else f"{number:,.0f} s"


def _mb(number: float | None) -> str:
    return "memory not measured on this system" if number is None else f"{number:,.0f} MB"


def _cpu(number: float | None) -> str:
    return "CPU time not measured on this system" if number is None else f"{_n(number)} CPU-s per million rows"


def _alone(alone: Alone) -> str:
    call = "no one-row call" if alone.one_row_ms is None else f"{_ms(alone.one_row_ms)} a row alone"
    return f"{call}, {_mb(alone.loaded_mb)} loaded"
