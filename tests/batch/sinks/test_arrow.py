"""Arrow IPC output: one dictionary a column, whatever the parts had."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from twofold._batch.formats import format_of
from twofold._batch.sinks import join, open_part

SCHEMA = pa.schema(
    [
        ("i", pa.int64()),
        ("d", pa.dictionary(pa.int8(), pa.string(), ordered=True)),
        ("n", pa.list_(pa.dictionary(pa.int8(), pa.string()))),
    ]
)


def batch(*words: str | None) -> pa.RecordBatch:
    column = pa.array(words, pa.string()).dictionary_encode()
    column = pa.DictionaryArray.from_arrays(column.indices.cast(pa.int8()), column.dictionary, ordered=True)
    nested = pa.ListArray.from_arrays(
        pa.array(range(len(words) + 1), pa.int32()),
        pa.DictionaryArray.from_arrays(column.indices, column.dictionary),
    )
    return pa.RecordBatch.from_arrays([pa.array(range(len(words))), column, nested], schema=SCHEMA)


def read(path: Path) -> pa.Table:
    opened = pa.ipc.open_stream if path.suffix == ".arrows" else pa.ipc.open_file
    with pa.OSFile(str(path)) as file:
        return opened(file).read_all()


@pytest.mark.parametrize("suffix", [".arrow", ".arrows", ".feather", ".ipc"])
def test_dictionaries_are_unified(tmp_path, suffix):
    output_format = format_of(f"x{suffix}")
    batches = [[batch("a", "b"), batch("c", None, "a")], [], [batch("b", "z"), batch("y")]]
    parts = []
    for index, written in enumerate(batches):
        parts.append(tmp_path / f"{index}{suffix}")
        with open_part(parts[-1], SCHEMA, output_format) as part:
            for one in written:
                part.write(one)
        assert read(parts[-1]).column("d").to_pylist() == [
            word for one in written for word in one.column("d").to_pylist()
        ]
    output = tmp_path / f"out{suffix}"
    join(parts, output, SCHEMA, output_format)
    table = read(output)
    words = ["a", "b", "c", None, "a", "b", "z", "y"]
    assert table.column("d").to_pylist() == words
    assert table.column("n").to_pylist() == [[word] for word in words]
    assert table.schema.field("d").type == pa.dictionary(pa.int8(), pa.string(), ordered=True)
    assert {tuple(chunk.dictionary.to_pylist()) for chunk in table.column("d").chunks} == {("a", "b", "c", "z", "y")}
    assert table.column("i").to_pylist() == [0, 1, 0, 1, 2, 0, 1, 0]


def test_a_dictionary_that_outgrows_its_indices(tmp_path):
    parts = []
    for index in range(3):
        parts.append(tmp_path / f"{index}.arrow")
        with open_part(parts[-1], SCHEMA, format_of("x.arrow")) as part:
            part.write(batch(*(f"{index}-{word}" for word in range(100))))
    join(parts, tmp_path / "out.arrow", SCHEMA, format_of("x.arrow"))
    table = read(tmp_path / "out.arrow")
    assert table.column("d").to_pylist() == [f"{index}-{word}" for index in range(3) for word in range(100)]
    assert table.schema.field("d").type.index_type == pa.int32()


@pytest.mark.parametrize("suffix", [".arrow", ".arrows"])
def test_no_parts(tmp_path, suffix):
    output = tmp_path / f"out{suffix}"
    join([], output, SCHEMA, format_of(output))
    assert read(output).num_rows == 0
    assert read(output).schema.names == ["i", "d", "n"]


def test_polars_reads_it(tmp_path):
    polars = pytest.importorskip("polars")
    schema = pa.schema([("i", pa.int64()), ("d", pa.dictionary(pa.int32(), pa.string()))])
    parts = []
    for index in range(2):
        parts.append(tmp_path / f"{index}.arrow")
        with open_part(parts[-1], schema, format_of("x.arrow")) as part:
            part.write(pa.record_batch([pa.array([index]), pa.array([f"w{index}"]).dictionary_encode()], schema=schema))
    join(parts, tmp_path / "out.arrow", schema, format_of("x.arrow"))
    found = polars.read_ipc(tmp_path / "out.arrow")
    assert found.with_columns(polars.col("d").cast(polars.String)).to_dicts() == [
        {"i": 0, "d": "w0"},
        {"i": 1, "d": "w1"},
    ]
