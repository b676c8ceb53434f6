"""What the table says of the numbers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from twofold._compare.costs import price_of
from twofold._compare.parity import Parity
from twofold._compare.report import Alone, BatchSide, Comparison, RealTimeSide
from twofold._compare.sustained import Sustained
from twofold._load.latency import Latency

LIVE = RealTimeSide(
    latency=Latency(10_000, 0.2, 1.5, 9.0),
    latency_loaded=Latency(100_000, 2.0, 5.0, 20.0),
    connections=64,
    rows_per_second=25_000.0,
    rows_per_call=12.34,
    cpu_s_per_million_rows=30.0,
    peak_mb=120.4,
    start_s=0.8,
    generator_busy=0.5,
    rows_failed=0,
)
STORED = BatchSide(
    seconds=2.0,
    start_s=0.8,
    rows_in=250_000,
    rows_out=250_000,
    rows_quarantined=0,
    rows_per_second=125_000.0,
    rows_per_second_after_start=200_000.0,
    rows_per_call=8192.0,
    cpu_s_per_million_rows=10.0,
    cpu_s_per_million_rows_after_start=4.0,
    peak_mb=300.0,
)
FOUND = Comparison(
    model="fraud",
    version="0123456789ab",
    input="rows.parquet",
    rows=250_000,
    rows_unfit=0,
    alone=Alone(0.011, 80.0),
    real_time=LIVE,
    batch=STORED,
    parity=Parity(rows=250_000, answered=250_000),
)


def cells(found: Comparison) -> dict[str, tuple[str, str]]:
    """Factor -> what its line says of real time and of batch, wrapped lines joined."""
    joined: dict[str, tuple[str, str]] = {}
    factor = ""
    for line in str(found).splitlines():
        if line.count("|") == 2:
            name, live, stored = (cell.strip() for cell in line.split("|"))
            factor = name or factor
            before = joined.get(factor, ("", ""))
            joined[factor] = (f"{before[0]} {live}".strip(), f"{before[1]} {stored}".strip())
    return joined


def test_the_table_of_good_numbers() -> None:
    assert cells(FOUND) == {
        "Factor": ("Real time", "Batch"),
        "Latency": ("p50 0.2 ms, p99 1.5 ms of a row", "2 s until the last of 250,000 rows was there"),
        "Data size": ("12.3 rows a call", "8,192 rows a call"),
        "Throughput": (
            "25,000 rows/s at 64 connections",
            "125,000 rows/s with its start of 0.8 s, 200,000 after it",
        ),
        "Resource use": (
            "30 CPU-s per million rows, 120 MB at most",
            "10 CPU-s per million rows with its start, 4 after it, 300 MB at most",
        ),
        "Complexity": (
            "0.011 ms a row alone, 80 MB loaded; the shortest deadline it kept: 1.5 ms",
            "0.011 ms a row alone, 80 MB loaded; no deadline to keep",
        ),
        "Output frequency": ("per request: each answer as it is ready", "per run: all rows at once, at its end"),
        "Use case": (
            "rows that come one by one and need an answer within 1.5 ms, up to 25,000 a second",
            "rows that can wait 2 s; from about 23,000 rows on it ends before real time at full load would",
        ),
    }
    assert str(FOUND).splitlines()[0] == "fraud, version 0123456789ab, over 250,000 rows of rows.parquet"
    assert str(FOUND).splitlines()[-1] == "Parity: 0 of 250,000 rows differ beyond tolerance, 0 in bytes."
    assert FOUND.exit_code == 0


def test_break_even() -> None:
    """0.8 s of start, then 5 us a row against 40: 0.8 s / 35 us."""
    assert FOUND.break_even_rows == pytest.approx(22_857.14, rel=1e-6)
    slow = replace(FOUND, batch=replace(STORED, rows_per_second_after_start=20_000.0))
    assert slow.break_even_rows is None
    assert cells(slow)["Use case"][1] == "rows that can wait 2 s; it is not faster here than real time at full load"


def test_what_cannot_be_told_is_not_said() -> None:
    few = Latency(300, 0.2, None, 9.0)
    found = replace(
        FOUND,
        alone=Alone(None, None),
        real_time=replace(LIVE, latency=few, cpu_s_per_million_rows=None, peak_mb=None, rows_per_call=None),
        batch=replace(
            STORED,
            rows_per_second_after_start=None,
            cpu_s_per_million_rows=None,
            cpu_s_per_million_rows_after_start=None,
            peak_mb=None,
        ),
        rows_unfit=7,
    )
    said = cells(found)
    assert said["Latency"][0] == "p50 0.2 ms, no p99 from 300 samples (it takes 459) of a row"
    assert said["Data size"][0] == "not known"
    assert "more rows (--limit) would tell" in said["Throughput"][1]
    assert "not measured on this system" in said["Resource use"][0]
    assert said["Complexity"][0].startswith("no one-row call, ")
    assert "9 ms" in said["Use case"][0]
    assert "(7 more do not fit and were left out)" in str(found).splitlines()[0]
    assert found.to_json()["real_time"]["latency"]["p99_ms"] is None


def test_a_generator_at_its_limit_is_named() -> None:
    busy = replace(FOUND, real_time=replace(LIVE, generator_busy=0.97))
    assert cells(busy)["Throughput"][0].endswith("the load generator was the limit")


def test_differences_are_shown() -> None:
    example = {"row": 3, "real_time": {"prediction": 1.0}, "batch": {"prediction": 2.0}}
    parity = Parity(10, 9, 5, 2, 1.0, "prediction", 3, [example])
    found = replace(FOUND, parity=parity)
    assert found.exit_code == 4
    assert str(found).splitlines()[-3:] == [
        "Parity: 2 of 10 rows differ beyond tolerance, 5 in bytes; 1 were not answered by both.",
        "Largest difference: 1 in 'prediction', row 3.",
        '  row 3: real time {"prediction": 1.0}, batch {"prediction": 2.0}',
    ]


def test_prices_and_the_rate_that_is_sustained() -> None:
    """30 CPU-s and 4 CPU-s per million rows, at 0.36 an hour of a core; two cores always on."""
    price = price_of(LIVE, STORED, 2, 0.36, 1_000_000)
    assert (price.real_time_per_million, price.batch_per_million) == pytest.approx((0.003, 0.0004))
    assert price.service_per_day == pytest.approx(17.28)
    assert price.service_idle == pytest.approx(1 - 30 / 172_800)
    assert price.batch_per_day == pytest.approx(0.36 / 3600 * (6 * 0.25 + 4))
    assert price.batch_seconds == pytest.approx(5.8)
    held = replace(LIVE, sustained=Sustained(50.0, 12_345.0, 49.0))
    found = cells(replace(FOUND, price=price, real_time=held))
    assert found["Throughput"][0].endswith("; 12,345 rows/s at random moments, p99 within 50 ms")
    assert found["Price"][0] == (
        "0.003 a million predictions at full load; 17.3 a day for 2 cores always on, 100 % idle at 1,000,000 rows a day"
    )
    assert found["Price"][1] == (
        "0.0004 a million predictions after its start; 0.00055 a day for one run over these, which takes 5.8 s"
    )


def test_no_rate_keeps_the_bound() -> None:
    held = replace(LIVE, sustained=Sustained(0.1, 0.0, None))
    assert cells(replace(FOUND, real_time=held))["Throughput"][0].endswith("; at no rate p99 within 0.1 ms")
