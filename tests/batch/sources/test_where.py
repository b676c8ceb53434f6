"""`--where`: which rows are in a run, whatever the format; what need not be read; what cannot be judged."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.batch.runs import PARITY, PICKY, quarantine, read, run, write, write_model
from twofold._batch.sources import cut, parse_where, read_split, scan_inputs
from twofold._errors import OverwriteRefused, UsageError

SUFFIXES = [".parquet", ".arrow", ".arrows", ".csv", ".csv.gz", ".jsonl", ".jsonl.zst"]
N_ROWS = 1000


def rows(n_rows: int = N_ROWS) -> pa.Table:
    return pa.table(
        {
            "number": pa.array(range(n_rows), pa.int64()),
            "amount": pa.array([None if i % 10 == 0 else i / 4 for i in range(n_rows)], pa.float64()),
            "country": pa.array(["DE" if i % 3 == 0 else "it's" for i in range(n_rows)]),
            "good": pa.array([i % 2 == 0 for i in range(n_rows)]),
        }
    )


def passing(path: Path, text: str, *, columns: list[str] | None = None, n_rows: int | None = None) -> list[int]:
    """The rows of the file that pass, by what the pieces say."""
    where = parse_where(text)
    scan = scan_inputs(path, where=where, mark_rows=64)
    found = []
    for split in cut(scan, 90):
        read_rows = 0
        for piece in read_split(split, scan.schema, columns or ["number"], 40, where=where, n_rows=n_rows):
            read_rows += piece.n_rows + piece.n_left_out
            assert piece.n_rows <= 40
            found += [piece.file_row(row) for row in range(piece.n_rows)]
        assert read_rows == (split.n_rows if n_rows is None else min(n_rows, split.n_rows))
    return found


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    ("text", "passes"),
    [
        ("number >= 990", lambda i: i >= 990),
        ("number < 3 and good = true", lambda i: i < 3 and i % 2 == 0),
        ("number<500.5 AND number>499.5", lambda i: i == 500),
        ("amount > 240", lambda i: i % 10 and i / 4 > 240),
        ("amount != 0.25", lambda i: i % 10 and i != 1),
        ("country = 'DE' and number <= 12", lambda i: i % 3 == 0 and i <= 12),
        ("country <> 'it''s' and \"number\" == 9", lambda i: i == 9),
        ("number = 123456789012345678901234567890", lambda i: False),
    ],
)
def test_rows_that_pass(tmp_path, suffix, text, passes):
    path = write(tmp_path / f"in{suffix}", rows())
    assert passing(path, text) == [i for i in range(N_ROWS) if passes(i)]


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".jsonl"])
def test_an_output_holds_the_rows_that_pass_and_says_so(tmp_path, suffix):
    model = write_model(tmp_path, PARITY)
    source = write(tmp_path / f"in{suffix}", rows())
    report = run(model, source, tmp_path / "out.parquet", where="number >= 10 and number < 500", split_rows=90)
    assert (report.rows_in, report.rows_out, report.rows_quarantined) == (490, 490, 0)
    out = read(tmp_path / "out.parquet")
    assert out.column("number").to_pylist() == list(range(10, 500))
    assert out.column_names == ["number", "amount", "country", "good", "prediction"]
    again = run(model, source, tmp_path / "out.parquet", where="number >= 10 and number < 500", split_rows=90)
    assert again.rows_in == 490
    with pytest.raises(OverwriteRefused, match="--where"):
        run(model, source, tmp_path / "out.parquet", where="number >= 10", split_rows=90)


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".jsonl"])
def test_rows_in_quarantine_keep_their_place_in_the_file(tmp_path, suffix):
    source = write(tmp_path / f"in{suffix}", rows())
    output = tmp_path / "out.parquet"
    report = run(write_model(tmp_path, PICKY), source, output, where="number >= 111 and good = false", split_rows=250)
    assert [line["_position"]["row"] for line in quarantine(report)] == [
        i for i in range(111, N_ROWS) if i % 10 in (3, 7)
    ]
    assert report.rows_in == len([i for i in range(111, N_ROWS) if i % 2])
    assert report.rows_in == report.rows_out + report.rows_quarantined


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_the_first_rows_are_the_first_that_pass(tmp_path, suffix):
    source = write(tmp_path / f"in{suffix}", rows())
    report = run(
        write_model(tmp_path, PARITY),
        source,
        tmp_path / "out.csv",
        where="country = 'DE'",
        limit_rows=50,
        split_rows=40,
    )
    assert report.rows_in == 50
    assert read(tmp_path / "out.csv").column("number").to_pylist() == [str(i) for i in range(0, 150, 3)]


def test_no_row_passes(tmp_path):
    source = write(tmp_path / "in.parquet", rows())
    report = run(write_model(tmp_path, PARITY), source, tmp_path / "out.parquet", where="number > 5000")
    assert (report.rows_in, report.splits) == (0, 0)
    assert read(tmp_path / "out.parquet").num_rows == 0


def test_text_that_cannot_be_judged_goes_to_quarantine(tmp_path):
    source = tmp_path / "in.csv"
    source.write_text("number,amount\n0,1\n1,many\n2,-1\n3,\n4,5\n5\n")
    report = run(write_model(tmp_path, PARITY), source, tmp_path / "out.csv", where="amount > 0")
    assert (report.rows_in, report.rows_out) == (4, 2)
    lines = quarantine(report)
    assert [line["_position"]["row"] for line in lines] == [1, 5]
    assert lines[0]["_error"] == {
        "code": "row_does_not_fit",
        "field": "amount",
        "message": 'amount: expected float64 or null, got "many"',
    }
    assert lines[0]["number"] == 1


def test_json_that_cannot_be_judged_goes_to_quarantine(tmp_path):
    source = tmp_path / "in.jsonl"
    source.write_text(
        '{"number":0,"v":true}\n{"number":1,"v":7}\n{"number":2}\n{"number":3,"v":null}\n{"number":4,"v":0.5}\n'
    )
    report = run(write_model(tmp_path, PARITY), source, tmp_path / "out.csv", where="v > 0")
    assert (report.rows_in, report.rows_out) == (3, 2)
    assert [line["_position"]["row"] for line in quarantine(report)] == [0]


def test_row_groups_that_statistics_rule_out_are_not_in_the_plan(tmp_path):
    path = tmp_path / "in.parquet"
    pq.write_table(rows(), path, row_group_size=100)
    for text, groups in [
        ("number >= 250 and number < 301", {2, 3}),
        ("number = 250", {2}),
        ("number <= 0", {0}),
        ("number > 899", {9}),
        ("number > 900 and country = 'A'", set()),
        ("number != 5", set(range(10))),
    ]:
        scan = scan_inputs(path, where=parse_where(text))
        read_groups = {group for split in cut(scan, 50) for group in range(*split.where["groups"])}
        assert read_groups == groups, text
        assert all(split.first_row // 100 in groups for split in cut(scan, 50))


@given(
    values=st.lists(st.one_of(st.none(), st.floats(allow_nan=True, width=64), st.just(0.0)), min_size=1, max_size=40),
    op=st.sampled_from(["=", "!=", "<", "<=", ">", ">="]),
    literal=st.one_of(st.just("0"), st.floats(-10, 10).map(repr)),
)
def test_statistics_never_rule_out_a_row_that_passes(tmp_path_factory, values, op, literal):
    path = tmp_path_factory.mktemp("stats") / "in.parquet"
    table = pa.table({"number": pa.array(values, pa.float64())})
    pq.write_table(table, path, row_group_size=3)
    arrow = write(path.with_suffix(".arrow"), table)
    assert passing(path, f"number {op} {literal}") == passing(arrow, f"number {op} {literal}")


TYPED = pa.table(
    {
        "small": pa.array([1, 2, None], pa.int8()),
        "big": pa.array([2**63, 2**64 - 1, 0], pa.uint64()),
        "price": pa.array([Decimal("1.10"), Decimal("2.20"), None], pa.decimal128(9, 2)),
        "day": pa.array([dt.date(2024, 1, 1), dt.date(2024, 1, 2), None]),
        "when": pa.array([dt.datetime(2024, 1, 1, 12), dt.datetime(2024, 1, 2), None], pa.timestamp("us", "UTC")),
        "local": pa.array([dt.datetime(2024, 1, 1, 12), dt.datetime(2024, 1, 2), None], pa.timestamp("ns")),
        "kind": pa.array(["a", "b", None]).dictionary_encode(),
        "large": pa.array(["a", "b", None], pa.large_string()),
        "blob": pa.array([b"a", b"b", None]),
    }
)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("small > 1", [1]),
        ("small < 300", [0, 1]),
        ("big >= 9223372036854775808", [0, 1]),
        ("big > -1", [0, 1, 2]),
        ("price = 1.1", [0]),
        ("price > 2", [1]),
        ("day > '2024-01-01'", [1]),
        ("when >= '2024-01-02'", [1]),
        ("when < '2024-01-01T12:00:01+00:00'", [0]),
        ("when = '2024-01-01 12:00:00'", [0]),
        ("local = '2024-01-01 12:00:00'", [0]),
        ("kind = 'b'", [1]),
        ("large != 'b'", [0]),
    ],
)
@pytest.mark.parametrize("suffix", [".parquet", ".arrow"])
def test_typed_columns(tmp_path, suffix, text, found):
    path = write(tmp_path / f"in{suffix}", TYPED)
    assert passing(path, text, columns=["small"]) == found


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("small = 'a'", "the column 'small' is of the type int8, which cannot be compared with 'a'"),
        ("kind > 1", "the column 'kind' is of the type string"),
        ("day > 'soon'", "the column 'day' is of the type date32"),
        ("blob = 'a'", "the column 'blob' is of the type binary"),
        ("small = true", "the column 'small' is of the type int8"),
        ("nothing = 1", "has no column 'nothing'. Its columns: small, big"),
        ("small > 1 or small < 0", r"from character 11 on \('or small < 0'\)"),
        ("small >", "from character 1 on"),
        ("", "from character 1 on"),
        ("small > 1 and", r"from character 11 on \('and'\)"),
        ("lower(kind) = 'a'", r"from character 6 on"),
    ],
)
def test_filters_that_are_refused(tmp_path, text, words):
    source = write(tmp_path / "in.parquet", TYPED)
    model = write_model(tmp_path, "import twofold\n@twofold.model\ndef m(small: int | None) -> int:\n    return 1\n")
    with pytest.raises(UsageError, match=words):
        run(model, source, tmp_path / "out.parquet", where=text)
