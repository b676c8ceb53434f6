"""CSV input: what is a record, a null, an empty string, a broken row, and that cutting changes none of it."""

from __future__ import annotations

import csv
import gzip
import io
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twofold._batch.sources import Piece, cut, read_split, scan_inputs
from twofold._batch.sources.csv import parse_block
from twofold._batch.sources.csv_records import cells_of
from twofold._batch.sources.records import blocks, csv_record_ends, has_odd_quotes, record_end
from twofold._batch.sources.streams import Lexer
from twofold._errors import InputError


def read(
    path: Path, split_rows: int = 1000, batch_rows: int = 1000, columns: list[str] | None = None, mark_rows: int = 3
) -> tuple[list[tuple[int, object]], list[str]]:
    """(row number, cells or text of a broken record) of all rows, and the columns."""
    scan = scan_inputs(path, mark_rows=mark_rows)
    names = scan.schema.names if columns is None else columns
    rows: list[tuple[int, object]] = []
    for split in cut(scan, split_rows):
        n_rows = 0
        for piece in read_split(split, scan.schema, names, batch_rows):
            assert piece.first_row == split.first_row + n_rows
            n_rows += piece.n_rows
            rows.extend(rows_of(piece))
        assert n_rows == split.n_rows
    assert [row for row, _ in rows] == list(range(scan.n_rows))
    return rows, names


def rows_of(piece: Piece) -> list[tuple[int, object]]:
    cells = list(zip(*(column.to_pylist() for column in piece.columns.values()), strict=True))
    whole = dict(zip(piece.whole_rows(), cells or [()] * piece.n_whole, strict=True))
    broken = {row: text for row, (text, _) in piece.broken.items()}
    return [(piece.first_row + row, {**whole, **broken}[row]) for row in range(piece.n_rows)]


def test_nulls_empty_strings_and_words(tmp_path):
    path = tmp_path / "in.csv"
    path.write_bytes(b'a,b\n1,""\n"",\nNULL,nan\n007,N/A\n')
    rows, names = read(path)
    assert names == ["a", "b"]
    assert [cells for _, cells in rows] == [("1", ""), ("", None), ("NULL", "nan"), ("007", "N/A")]


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_line_ends_and_byte_order_mark(tmp_path, end, mark):
    path = tmp_path / "in.csv"
    path.write_bytes(mark + end.join([b'"a\r\n1",b', b"1,2", b'3,"4\r\n,5"', b'"6""",7']))
    rows, names = read(path)
    assert names == ["a\r\n1", "b"]
    assert [cells for _, cells in rows] == [("1", "2"), ("3", "4\r\n,5"), ('6"', "7")]


def test_one_column_has_rows_in_empty_lines(tmp_path):
    path = tmp_path / "in.csv"
    path.write_bytes(b'a\n1\n\n""\n\n')
    rows, _ = read(path, split_rows=1)
    assert [cells for _, cells in rows] == [("1",), (None,), ("",), (None,)]


def test_several_columns_have_none(tmp_path):
    path = tmp_path / "in.csv"
    path.write_bytes(b"a,b\n1,2\n\n3,4\r\n\r\n\n")
    rows, _ = read(path, split_rows=1)
    assert [cells for _, cells in rows] == [("1", "2"), ("3", "4")]


@pytest.mark.parametrize("split_rows", [1, 2, 3, 100])
@pytest.mark.parametrize("batch_rows", [1, 3, 100])
@pytest.mark.parametrize("packed", [False, True])
def test_broken_records_keep_their_place_and_text(tmp_path, split_rows, batch_rows, packed):
    path = tmp_path / ("in.csv.gz" if packed else "in.csv")
    text = b'a,b\n1,2\n3\n4,5,6\n\n"7","8"\n"9"x,10\n11,\xff\n12,1"3"\n14,"open\n'
    path.write_bytes(gzip.compress(text) if packed else text)
    rows, _ = read(path, split_rows, batch_rows)
    assert [cells for _, cells in rows] == [
        ("1", "2"),
        "3",
        "4,5,6",
        ("7", "8"),
        '"9"x,10',
        "11,\\xff",
        ("12", '1"3"'),
        '14,"open',
    ]


def test_each_broken_record_says_why(tmp_path):
    path = tmp_path / "in.csv"
    path.write_bytes(b'a,b\n3\n4,5,6\n"9"x,10\n11,\xff\n14,"open\n')
    scan = scan_inputs(path)
    (piece,) = read_split(cut(scan, 10)[0], scan.schema, ["a"], 10)
    assert [why for _, why in piece.broken.values()] == [
        "expected 2 cells, as in the header line, but the record has 1",
        "expected 2 cells, as in the header line, but the record has 3",
        "there is text after the closing quote of cell 1",
        "the text of cell 2 is not UTF-8",
        "the quote that opens cell 2 is never closed",
    ]
    assert piece.n_whole == 0


def test_a_return_inside_a_line_is_text(tmp_path):
    path = tmp_path / "in.csv"
    path.write_bytes(b"a,b\nx\ry,1\n2,3\n")
    rows, _ = read(path)
    assert [cells for _, cells in rows] == [("x\ry", "1"), ("2", "3")]


def test_only_the_columns_asked_for(tmp_path):
    path = tmp_path / "in.csv"
    path.write_bytes(b"a,b,c\n1,2,3\n4,5,6\n")
    assert [cells for _, cells in read(path, columns=["c", "a"])[0]] == [("3", "1"), ("6", "4")]
    assert [cells for _, cells in read(path, columns=[])[0]] == [(), ()]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "is empty"),
        (b"\n1\n", "begins with an empty line"),
        (b"a,b,a\n1,2,3\n", "'a' more than once"),
        (b"caf\xe9\n1\n", "not UTF-8"),
        ("a,b\n1,2\n".encode("utf-16"), "UTF-8"),
        (b'"a,b\n1,2\n', "never closed"),
        (b"a,b\r1,2\r", "do not end in"),
    ],
)
def test_a_header_that_cannot_be_read(tmp_path, text, words):
    path = tmp_path / "in.csv"
    path.write_bytes(text)
    with pytest.raises(InputError, match=words) as caught:
        scan_inputs(path)
    assert str(path) in str(caught.value)


def test_a_header_without_rows(tmp_path):
    path = tmp_path / "in.csv"
    path.write_bytes(b"a,b")
    scan = scan_inputs(path)
    assert (scan.n_rows, scan.schema.names, cut(scan, 10)) == (0, ["a", "b"], [])


def test_records_larger_than_a_block(tmp_path):
    path = tmp_path / "in.csv"
    long = "x,\n" * 1_000_000
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["a", "b"], ["1", long], ["2", "3"]])
    rows, _ = read(path)
    assert [cells for _, cells in rows] == [("1", long), ("2", "3")]


CELLS = st.text(st.sampled_from('a,"\n é'), max_size=6)


@given(
    st.lists(st.lists(CELLS, min_size=2, max_size=2), max_size=30), st.integers(1, 7), st.sampled_from(["\n", "\r\n"])
)
@settings(max_examples=60, deadline=None)
def test_what_pythons_csv_module_writes_is_read(tmp_path_factory, table, split_rows, end):
    path = tmp_path_factory.mktemp("csv") / "in.csv"
    out = io.StringIO()
    csv.writer(out, lineterminator=end).writerows([["a", "b"], *table])
    path.write_bytes(out.getvalue().encode())
    rows, _ = read(path, split_rows, 4)
    assert [cells for _, cells in rows] == [tuple(cell or None for cell in cells) for cells in table]


RAW = st.binary(max_size=60).map(lambda data: bytes(b'a,"\n\r,"\n'[byte % 8] for byte in data))


@given(RAW, st.integers(1, 9))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_cut_the_same_in_blocks_of_any_size(data, block_bytes):
    ends, at = [], 0
    while (end := record_end(data, at)) >= 0:
        ends.append(end)
        at = end
    assert csv_record_ends(data).tolist() == ends
    found, start = [], 0
    for block, block_ends in blocks(io.BytesIO(data), "in.csv", csv_record_ends, block_bytes):
        found += [start + end for end in block_ends.tolist()]
        start += len(block)
    assert found == ends + ([len(data)] if at < len(data) else [])


@given(RAW, st.integers(1, 3))
@settings(max_examples=300, deadline=None)
def test_the_fast_way_reads_any_bytes_as_the_careful_way(data, n_columns):
    names = ["a", "b", "c"][:n_columns]
    lexer = Lexer(csv_record_ends, keep_empty=n_columns == 1)
    for block in lexer.blocks(io.BytesIO(data), "in.csv"):
        if not block.n_rows:
            continue
        arrays, broken = parse_block(block, names, names)
        got = list(zip(*(array.to_pylist() for array in arrays.values()), strict=True))
        expected, expected_broken = [], {}
        for row, (start, end) in enumerate(zip(block.starts, block.ends, strict=True)):
            cells, _ = cells_of(block.data[start:end])
            if cells is None or len(cells) != n_columns:
                expected_broken[row] = block.data[start:end]
            else:
                expected.append(tuple(cells))
        assert got == expected
        assert broken.keys() == expected_broken.keys()
        assert all(array.type == pa.string() for array in arrays.values())


def test_odd_quotes():
    assert not has_odd_quotes(b'a,b\n"x","y""z"\r\n"",""\n')
    assert has_odd_quotes(b'a"b,c\n')
    assert has_odd_quotes(b'"a"b,c\n')
    assert has_odd_quotes(b'"a\n')
    assert has_odd_quotes(b'"a"\rb\n')
