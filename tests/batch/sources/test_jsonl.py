"""JSONL input: one schema from the whole scan, broken lines, exact numbers, quarantine files."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twofold._batch.formats import JSON_MARK
from twofold._batch.sources import cut, read_split, scan_inputs
from twofold._errors import InputError


def read(path: Path, split_rows: int = 1000, batch_rows: int = 1000) -> tuple[pa.Table, dict[int, str]]:
    """The whole rows as a table, and why the others are broken."""
    scan = scan_inputs(path, mark_rows=2)
    batches, broken = [], {}
    for split in cut(scan, split_rows):
        for piece in read_split(split, scan.schema, scan.schema.names, batch_rows):
            columns = list(piece.arrow(scan.schema.names).values())
            assert all(len(column) == piece.n_whole for column in columns)
            batches.append(pa.RecordBatch.from_arrays(columns, schema=scan.schema))
            broken.update({piece.first_row + row: why for row, (_, why) in piece.broken.items()})
    return pa.Table.from_batches(batches, scan.schema), broken


def write(path: Path, *records: Any) -> Path:
    path.write_text("".join((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in records))
    return path


def test_types_of_the_whole_scan(tmp_path):
    path = write(
        tmp_path / "in.jsonl",
        {"b": True, "i": 1, "f": 1, "s": "x", "n": None, "l": [1, 2], "o": {"x": 1}, "u": 1},
        {"b": None, "i": -5, "f": 2.5, "s": "2024-01-01", "n": None, "l": [0.5], "o": {"y": "z"}, "u": (1 << 64) - 1},
        {"late": "é"},
    )
    table, broken = read(path, split_rows=1)
    assert not broken
    assert {field.name: str(field.type) for field in table.schema} == {
        "b": "bool",
        "i": "int64",
        "f": "double",
        "s": "string",
        "n": "string",
        "l": "list<item: double>",
        "o": "struct<x: int64, y: string>",
        "u": "uint64",
        "late": "string",
    }
    assert table.column("o").to_pylist() == [{"x": 1, "y": None}, {"x": None, "y": "z"}, None]
    assert table.column("u").to_pylist() == [1, (1 << 64) - 1, None]


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ([1, "a"], ["1", '"a"']),
        ([{}, None], ["{}", None]),
        ([1.5, (1 << 53) + 1], ["1.5", "9007199254740993"]),
        ([-1, 1 << 63], ["-1", "9223372036854775808"]),
        ([[1], {"a": [None, "x"]}], ["[1]", '{"a":[null,"x"]}']),
    ],
)
def test_mixed_values_are_json_text(tmp_path, values, texts):
    table, _ = read(write(tmp_path / "in.jsonl", *({"v": value} for value in values)))
    field = table.schema.field("v")
    assert field.type == pa.string()
    assert JSON_MARK in field.metadata
    assert table.column("v").to_pylist() == texts


def test_a_number_beyond_float64_keeps_its_text(tmp_path):
    table, _ = read(write(tmp_path / "in.jsonl", '{"v":1e400}', '{"v":1}'))
    assert table.column("v").to_pylist() == ["1e400", "1"]


def test_words_for_numbers(tmp_path):
    table, _ = read(write(tmp_path / "in.jsonl", {"v": 1.5, "w": "NaN"}, {"v": "Infinity", "w": "x"}))
    assert table.column("v").to_pylist() == [1.5, float("inf")]
    assert table.column("w").to_pylist() == ["NaN", "x"]


def test_exact_numbers_reach_the_model(tmp_path):
    lines = [f'{{"v":{text}}}' for text in ("7.5", "9007199254740993.0", "7.0000000000000000001", "1e3", "12")]
    path = write(tmp_path / "in.jsonl", *lines)
    scan = scan_inputs(path)
    (piece,) = read_split(cut(scan, 10)[0], scan.schema, [], 10)
    assert [repr(record["v"]) for record in piece.records] == [
        "7.5",
        "9007199254740993.0",
        "7.0000000000000000001",
        "1e3",
        "12",
    ]
    assert piece.arrow(["v"])["v"].to_pylist() == [7.5, 9007199254740992.0, 7.0, 1000.0, 12.0]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("split_rows", [1, 2, 100])
def test_broken_lines_keep_their_place(tmp_path, packed, split_rows):
    text = b'{"a":1}\n\n{"a":\n[1]\n\r\n{"a":"caf\xff"}\n{"a":NaN}\n{"a":2}\r\n{"a":3'
    path = tmp_path / ("in.jsonl.gz" if packed else "in.jsonl")
    path.write_bytes(gzip.compress(text) if packed else text)
    table, broken = read(path, split_rows, 2)
    assert table.column("a").to_pylist() == [1, 2]
    assert sorted(broken) == [1, 2, 3, 4, 6]
    assert "not an object" in broken[2]
    assert all("not JSON" in broken[row] for row in (1, 3, 4, 6))


def test_a_quarantine_file_is_an_input(tmp_path):
    path = write(
        tmp_path / "quarantine.jsonl",
        {"a": 1, "_position": {"file": "x", "row": 3}, "_error": {"code": "bad_row", "message": "m"}},
        {"_position": {"file": "x", "row": 9}, "_error": {"code": "u", "message": "too short"}, "_raw": "1,2"},
        {"a": 2, "_error": "mine"},
    )
    scan = scan_inputs(path)
    assert scan.schema.names == ["a", "_error"]
    (piece,) = read_split(cut(scan, 10)[0], scan.schema, ["a"], 10)
    assert piece.records == [{"a": 1}, {"a": 2, "_error": "mine"}]
    assert piece.broken == {1: ("1,2", "too short")}


def test_several_files_have_one_schema(tmp_path):
    write(tmp_path / "1.jsonl", {"a": 1})
    write(tmp_path / "2.jsonl", {"a": 1.5, "b": "x"})
    write(tmp_path / "3.jsonl")
    table, _ = read(tmp_path)
    assert table.to_pydict() == {"a": [1.0, 1.5], "b": [None, "x"]}


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_a_compressed_file_that_is_cut_off(tmp_path, suffix):
    text = b"".join(b'{"a":%d}\n' % i for i in range(5000))
    data = gzip.compress(text) if suffix == ".gz" else pa.Codec("zstd").compress(text, asbytes=True)
    path = tmp_path / f"in.jsonl{suffix}"
    path.write_bytes(data[:-9])
    with pytest.raises(InputError, match="cannot be read") as caught:
        scan_inputs(path)
    assert str(path) in str(caught.value)
    path.write_bytes(b"not compressed at all")
    with pytest.raises(InputError, match="cannot be read"):
        scan_inputs(path)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 70), 1 << 70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=6,
)


@given(st.lists(st.dictionaries(st.sampled_from(["a", "b", "_c"]), JSON, max_size=3), max_size=8))
@settings(max_examples=150, deadline=None)
def test_any_records_have_columns(tmp_path_factory, records):
    path = write(tmp_path_factory.mktemp("jsonl") / "in.jsonl", *records)
    table, broken = read(path, split_rows=2)
    assert not broken
    assert table.num_rows == (len(records) if table.num_columns else 0)
    for field in table.schema:
        for record, stored in zip(records, table.column(field.name).to_pylist(), strict=True):
            value = record.get(field.name)
            if value is None:
                assert stored is None
            elif JSON_MARK in (field.metadata or {}):
                assert json.loads(stored) == value
            elif not isinstance(value, list | dict):
                assert stored == value
