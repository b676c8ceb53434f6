"""One Parquet file from parts: what any reader sees is what the parts hold, in their order."""

from __future__ import annotations

import datetime as dt
import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twofold._batch.formats import format_of
from twofold._batch.sinks import join, open_join, open_part
from twofold._batch.sinks.parquet_join import read_footer
from twofold._batch.sinks.thrift import (
    BINARY,
    DOUBLE,
    I64,
    LIST,
    MAP,
    STRUCT,
    Field,
    Sequence,
    Struct,
    read_struct,
    write_struct,
)
from twofold._errors import OutputError

PARQUET = format_of("x.parquet")


def rows(n: int, seed: int = 0) -> pa.RecordBatch:
    """All kinds of columns; text with few values, so that there are dictionary pages, and nested ones."""
    rng = np.random.default_rng(seed)
    return pa.record_batch(
        {
            "id": pa.array(np.arange(n) + seed),
            "f": pa.array(rng.normal(size=n).astype(np.float32), mask=rng.random(n) < 0.1),
            "word": pa.array([f"w{i % 7}" if i % 5 else None for i in range(n)], pa.string()),
            "kind": pa.array([f"k{(i + seed) % 3}" for i in range(n)], pa.string()).dictionary_encode(),
            "list": pa.array(
                [[float(j) for j in range(i % 4)] if i % 3 else None for i in range(n)], pa.list_(pa.float64())
            ),
            "vector": pa.FixedSizeListArray.from_arrays(pa.array(rng.normal(size=2 * n).astype(np.float32)), 2),
            "struct": pa.array(
                [{"a": i, "b": [{"c": str(i)}]} for i in range(n)],
                pa.struct([("a", pa.int32()), ("b", pa.list_(pa.struct([("c", pa.string())])))]),
            ),
            "when": pa.array(
                [dt.datetime(2024, 1, 1, tzinfo=dt.UTC) + dt.timedelta(hours=i) for i in range(n)],
                pa.timestamp("us", "UTC"),
            ),
        },
        metadata={"k": "v"},
    )


SCHEMA = rows(0).schema


def write_parts(folder: Path, *parts: list[pa.RecordBatch]) -> list[Path]:
    paths = []
    for index, batches in enumerate(parts):
        path = folder / f"part-{index}.parquet"
        with open_part(path, SCHEMA, PARQUET, header=False) as part:
            for batch in batches:
                part.write(batch)
        paths.append(path)
    return paths


def test_the_joined_file_is_its_parts(tmp_path):
    batches = [rows(1000, 1), rows(10, 2), rows(500, 3)]
    parts = write_parts(tmp_path, [batches[0]], [], [batches[1], batches[2]])
    output = tmp_path / "out.parquet"
    join(parts, output, SCHEMA, PARQUET)
    file = pq.ParquetFile(output)
    expected = pa.Table.from_batches(batches)
    assert file.schema_arrow.equals(SCHEMA)
    assert file.schema_arrow.metadata == SCHEMA.metadata
    assert file.read().to_pylist() == expected.to_pylist()
    assert file.metadata.num_rows == 1510
    # One row group at a time, one column at a time, and only some rows by their statistics.
    assert [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)] == [1000, 510]
    assert (
        file.read_row_group(1, columns=["word"]).column("word").to_pylist()
        == expected.column("word").to_pylist()[1000:]
    )
    assert pq.read_table(output, filters=[("id", ">=", 1000)]).num_rows == sum(
        i >= 1000 for i in expected.column("id").to_pylist()
    )
    statistics = file.metadata.row_group(1).column(0).statistics
    assert (statistics.min, statistics.max, statistics.null_count) == (2, 502, 0)


def test_sizes_and_places_in_the_footer(tmp_path):
    parts = write_parts(tmp_path, [rows(1000, 1)], [rows(2000, 2)])
    output = tmp_path / "out.parquet"
    join(parts, output, SCHEMA, PARQUET)
    joined = pq.read_metadata(output)
    single = [pq.read_metadata(part) for part in parts]
    stored = output.read_bytes()
    for group, alone in enumerate(single):
        there = joined.row_group(group)
        assert there.total_byte_size == alone.row_group(0).total_byte_size
        for at in range(there.num_columns):
            moved, original = there.column(at), alone.row_group(0).column(at)
            assert moved.total_compressed_size == original.total_compressed_size
            start = original.dictionary_page_offset or original.data_page_offset
            moved_start = moved.dictionary_page_offset or moved.data_page_offset
            size = original.total_compressed_size
            assert stored[moved_start : moved_start + size] == parts[group].read_bytes()[start : start + size]
    with output.open("rb") as file:
        footer, _ = read_footer(file, output)
    assert [group.number(7) for group in footer.structs(4)] == [0, 1]
    offsets = [group.number(5) for group in footer.structs(4)]
    assert offsets == [
        4,
        4 + sum(single[0].row_group(0).column(at).total_compressed_size for at in range(single[0].num_columns)),
    ]


def test_polars_reads_it(tmp_path):
    polars = pytest.importorskip("polars")
    parts = write_parts(tmp_path, [rows(300, 1)], [rows(200, 2)])
    output = tmp_path / "out.parquet"
    join(parts, output, SCHEMA, PARQUET)
    expected = pa.Table.from_batches([rows(300, 1), rows(200, 2)]).to_pylist()
    assert polars.read_parquet(output).to_dicts() == expected
    assert polars.scan_parquet(output).filter(polars.col("id") >= 300).select("word").collect().height == 1


@pytest.mark.parametrize("parts", [[], [[]], [[], []]])
def test_no_rows_are_a_valid_file(tmp_path, parts):
    output = tmp_path / "out.parquet"
    join(write_parts(tmp_path, *parts), output, SCHEMA, PARQUET)
    assert pq.read_table(output).schema.equals(SCHEMA)
    assert pq.read_metadata(output).num_rows == 0


def test_parts_can_be_added_one_by_one(tmp_path):
    output = tmp_path / "out.parquet"
    with open_join(output, SCHEMA, PARQUET) as joiner:
        for index in range(300):
            (path,) = write_parts(tmp_path, [rows(2, index)])
            joiner.add(path)
            path.unlink()
    ids = pq.read_table(output, columns=["id"]).column("id").to_pylist()
    assert ids == [index + row for index in range(300) for row in range(2)]
    assert pq.ParquetFile(output).num_row_groups == 300


def test_a_joined_file_can_be_joined_again(tmp_path):
    parts = write_parts(tmp_path, [rows(30, 1)], [rows(20, 2)])
    join(parts, tmp_path / "one.parquet", SCHEMA, PARQUET)
    join([tmp_path / "one.parquet", *parts], tmp_path / "two.parquet", SCHEMA, PARQUET)
    assert pq.read_table(tmp_path / "two.parquet").num_rows == 100


@pytest.mark.parametrize("damage", ["cut", "other schema", "text"])
def test_a_part_that_is_none(tmp_path, damage):
    good, bad = write_parts(tmp_path, [rows(30, 1)], [rows(20, 2)])
    if damage == "cut":
        bad.write_bytes(bad.read_bytes()[:-20])
    elif damage == "text":
        bad.write_bytes(b"PAR1" + (10).to_bytes(4, "little") + b"PAR1")
    else:
        pq.write_table(pa.table({"x": [1]}), bad)
    with pytest.raises(OutputError, match=r"part-1\.parquet.* Remove it, and run again"):
        join([good, bad], tmp_path / "out.parquet", SCHEMA, PARQUET)


def test_large_parts_have_several_row_groups(tmp_path):
    batch = pa.record_batch({"v": pa.array(np.zeros(1 << 20))})
    path = tmp_path / "part.parquet"
    with open_part(path, batch.schema, PARQUET) as part:
        for _ in range(3):
            part.write(batch.slice(0, 1 << 19))
            part.write(batch.slice(1 << 19))
    metadata = pq.read_metadata(path)
    assert [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)] == [1 << 20] * 3
    assert metadata.row_group(0).column(0).compression == "ZSTD"


def tree(depth: int) -> st.SearchStrategy[Struct]:
    numbers = st.integers(-(1 << 63), (1 << 63) - 1)

    def value(kind: int, inner: st.SearchStrategy[Struct]) -> st.SearchStrategy[Any]:
        return {
            I64: numbers,
            BINARY: st.binary(max_size=20),
            DOUBLE: st.binary(min_size=8, max_size=8),
            STRUCT: inner,
            1: st.just(1),
            2: st.just(0),
            3: st.integers(0, 255),
            LIST: st.lists(numbers, max_size=20).map(lambda items: Sequence(I64, list(items))),
            MAP: st.lists(st.tuples(numbers, st.binary(max_size=3)), min_size=1, max_size=3).map(
                lambda pairs: Sequence(I64, [part for pair in pairs for part in pair], BINARY)
            ),
        }[kind]

    inner = tree(depth - 1) if depth else st.just(Struct([]))
    kinds = st.sampled_from([I64, BINARY, DOUBLE, STRUCT, 1, 2, 3, LIST, MAP])
    fields = st.integers(1, 300).flatmap(
        lambda number: kinds.flatmap(lambda kind: value(kind, inner).map(lambda found: Field(number, kind, found)))
    )
    return st.lists(fields, max_size=6, unique_by=lambda found: found.id).map(
        lambda found: Struct(sorted(found, key=lambda one: one.id))
    )


@given(tree(2))
@settings(max_examples=150, deadline=None)
def test_thrift_trees_survive(struct):
    stored = write_struct(struct)
    found, end = read_struct(stored)
    assert (found, end) == (struct, len(stored))


def test_a_footer_is_rewritten_byte_for_byte(tmp_path):
    (path,) = write_parts(tmp_path, [rows(100)])
    data = path.read_bytes()
    length = int.from_bytes(data[-8:-4], "little")
    stored = data[-8 - length : -8]
    footer, end = read_struct(stored)
    assert end == length
    assert write_struct(footer) == stored
    assert read_footer(io.BytesIO(data), path) == (footer, len(data) - 8 - length)
