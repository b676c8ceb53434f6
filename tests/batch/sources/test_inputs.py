"""Which files are an input, and what two of them must have in common."""

from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from twofold._batch.formats import format_of
from twofold._batch.sinks import open_part
from twofold._batch.sources import (
    FileSplit,
    cut,
    expand_inputs,
    parse_where,
    read_split,
    scan_inputs,
    schema_from_text,
    schema_to_text,
)
from twofold._errors import InputError, UsageError


def touch(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("a\n1\n")


def test_a_folder_is_sorted_and_skips_hidden_names(tmp_path):
    touch(tmp_path, "b.csv", "a.csv", "sub/c.csv", "_SUCCESS", ".x.csv", "_tmp/d.csv", ".git/e.csv", "sub/_f.csv")
    found = [str(Path(file.path).relative_to(tmp_path)) for file in expand_inputs(tmp_path)]
    assert found == ["a.csv", "b.csv", "sub/c.csv"]


def test_a_glob_and_a_file(tmp_path):
    touch(tmp_path, "2.csv", "1.csv", "1.txt", "_3.csv")
    assert [Path(file.path).name for file in expand_inputs(str(tmp_path / "[12].csv"))] == ["1.csv", "2.csv"]
    assert [Path(file.path).name for file in expand_inputs(tmp_path / "_3.csv")] == ["_3.csv"]


def test_a_file_whose_name_looks_like_a_glob(tmp_path):
    touch(tmp_path, "in[1].csv")
    assert [Path(file.path).name for file in expand_inputs(tmp_path / "in[1].csv")] == ["in[1].csv"]


@pytest.mark.parametrize(
    ("names", "given", "words"),
    [
        ([], "", "holds no file"),
        (["_only.csv"], "", "holds no file"),
        ([], "nothing.csv", "is not there"),
        ([], "*.csv", "no file matches"),
        (["a.csv", "b.jsonl"], "", r"mixes formats: csv \(.*a.csv\), jsonl \(.*b.jsonl\)"),
        (["a.csv", "b.txt"], "", r"do not say which format they are: .*b.txt"),
        (["a.csv", "b.txt.gz"], "", r"do not say which format they are: .*b.txt.gz"),
    ],
)
def test_inputs_that_are_refused(tmp_path, names, given, words):
    touch(tmp_path, *names)
    with pytest.raises(InputError, match=words):
        expand_inputs(tmp_path / given)


def test_a_file_of_no_known_format(tmp_path):
    touch(tmp_path, "a.txt")
    with pytest.raises(UsageError, match=r"\.parquet, .*\.csv"):
        expand_inputs(tmp_path / "a.txt")


def test_compressed_and_plain_files_are_one_format(tmp_path):
    touch(tmp_path, "a.csv")
    with pa.CompressedOutputStream(str(tmp_path / "b.csv.gz"), "gzip") as out:
        out.write(b"a\n2\n")
    scan = scan_inputs(tmp_path)
    pieces = [piece for split in cut(scan, 10) for piece in read_split(split, scan.schema, ["a"], 10)]
    assert [piece.columns["a"].to_pylist() for piece in pieces] == [["1"], ["2"]]


def test_columns_in_another_order_are_the_same_columns(tmp_path):
    (tmp_path / "1.csv").write_text("a,b\n1,2\n")
    (tmp_path / "2.csv").write_text("b,a\n3,4\n")
    scan = scan_inputs(tmp_path)
    pieces = [piece for split in cut(scan, 10) for piece in read_split(split, scan.schema, ["a"], 10)]
    assert [piece.columns["a"].to_pylist() for piece in pieces] == [["1"], ["4"]]


@pytest.mark.parametrize("first", [{"a": [1], "b": [2]}, {"a": [1]}])
def test_a_missing_column_is_named_with_its_file(tmp_path, first):
    second = {"a": [1], "b": [2]} if "b" not in first else {"a": [1]}
    pq.write_table(pa.table(first), tmp_path / "1.parquet")
    pq.write_table(pa.table(second), tmp_path / "2.parquet")
    lacking = "2.parquet" if "b" in first else "1.parquet"
    with pytest.raises(InputError, match=rf"{lacking} has no column b, which .*parquet has"):
        scan_inputs(tmp_path)


def test_a_type_that_differs_is_named_with_its_files(tmp_path):
    pq.write_table(pa.table({"a": [1]}), tmp_path / "1.parquet")
    pq.write_table(pa.table({"a": ["x"]}), tmp_path / "2.parquet")
    with pytest.raises(InputError, match=r"column a is int64 in .*1.parquet and string in .*2.parquet"):
        scan_inputs(tmp_path)


def test_a_column_that_may_be_null_in_one_file_may_be_null(tmp_path):
    required = pa.schema([pa.field("a", pa.int64(), nullable=False)])
    pq.write_table(pa.table({"a": [1]}, schema=required), tmp_path / "1.parquet")
    pq.write_table(pa.table({"a": [None]}, schema=pa.schema([("a", pa.int64())])), tmp_path / "2.parquet")
    assert scan_inputs(tmp_path).schema.field("a").nullable


@pytest.mark.parametrize("suffix", [".parquet", ".arrow", ".feather", ".arrows"])
def test_files_that_are_empty_or_cut_off(tmp_path, suffix):
    path = tmp_path / f"in{suffix}"
    path.write_bytes(b"")
    with pytest.raises(InputError, match=r"in\."):
        scan_inputs(path)
    table = pa.table({"a": list(range(1000))})
    if suffix == ".parquet":
        pq.write_table(table, path)
    else:
        with (pa.ipc.new_stream if suffix == ".arrows" else pa.ipc.new_file)(path, table.schema) as writer:
            writer.write_table(table)
    path.write_bytes(path.read_bytes()[:-700])
    with pytest.raises(InputError, match="cannot be read") as caught:
        scan_inputs(path)
    assert str(path) in str(caught.value)


def test_a_damaged_page_is_named(tmp_path):
    path = tmp_path / "in.parquet"
    pq.write_table(pa.table({"a": list(range(100_000))}), path, compression="zstd")
    scan = scan_inputs(path)
    data = bytearray(path.read_bytes())
    data[4:200] = bytes(196)
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"in\.parquet.* cannot be read"):
        list(read_split(cut(scan, 1 << 20)[0], scan.schema, ["a"], 1000))


def test_two_columns_of_one_name(tmp_path):
    path = tmp_path / "in.parquet"
    pq.write_table(pa.Table.from_arrays([pa.array([1]), pa.array([2])], ["a", "a"]), path)
    with pytest.raises(InputError, match="'a' more than once"):
        scan_inputs(path)


@pytest.mark.parametrize("suffix", [".parquet", ".arrow", ".arrows"])
@pytest.mark.parametrize("split_rows", [1, 3, 7, 10, 25, 1000])
def test_stored_groups_are_gathered_and_cut(tmp_path, suffix, split_rows):
    path = tmp_path / f"in{suffix}"
    table = pa.table(
        {"i": list(range(60)), "s": [str(i) for i in range(60)], "d": pa.array(list("abc") * 20).dictionary_encode()}
    )
    sizes = [5, 5, 0, 1, 30, 2, 2, 15]
    with (
        pq.ParquetWriter(path, table.schema)
        if suffix == ".parquet"
        else (pa.ipc.new_stream if suffix == ".arrows" else pa.ipc.new_file)(path, table.schema)
    ) as writer:
        start = 0
        for size in sizes:
            writer.write_table(table.slice(start, size))
            start += size
    scan = scan_inputs(path)
    splits = cut(scan, split_rows)
    assert all(split.n_rows < 1.5 * split_rows + 1 for split in splits)
    rows: list[object] = []
    for split in splits:
        split = FileSplit.from_json(json.loads(json.dumps(split.to_json())))
        pieces = list(read_split(split, scan.schema, ["d", "i"], 4))
        assert [piece.first_row - split.first_row for piece in pieces] == list(range(0, split.n_rows, 4))
        assert sum(piece.n_rows for piece in pieces) == split.n_rows
        for piece in pieces:
            assert list(piece.columns) == ["d", "i"]
            rows += zip(piece.columns["i"].to_pylist(), piece.columns["d"].to_pylist(), strict=True)
    assert rows == list(zip(range(60), list("abc") * 20, strict=True))


@pytest.mark.parametrize("suffix", [".parquet", ".arrow", ".csv", ".jsonl"])
def test_no_columns_are_still_rows(tmp_path, suffix):
    path = tmp_path / f"in{suffix}"
    if suffix == ".parquet":
        pq.write_table(pa.table({"a": [1, 2, 3]}), path)
    elif suffix == ".arrow":
        with pa.ipc.new_file(path, pa.schema([("a", pa.int64())])) as writer:
            writer.write_table(pa.table({"a": [1, 2, 3]}))
    else:
        path.write_text("a\n1\n2\n3\n" if suffix == ".csv" else '{"a":1}\n{"a":2}\n{"a":3}\n')
    scan = scan_inputs(path)
    pieces = [piece for split in cut(scan, 2) for piece in read_split(split, scan.schema, [], 10)]
    assert sum(piece.n_rows for piece in pieces) == 3


def test_a_schema_as_text():
    schema = pa.schema([pa.field("a", pa.list_(pa.float32(), 3), metadata={"k": "v"})], metadata={"x": "y"})
    assert schema_from_text(schema_to_text(schema)).equals(schema, check_metadata=True)


def test_a_compressed_file_is_read_in_any_order_of_splits(tmp_path):
    path = tmp_path / "in.csv.zst"
    with pa.CompressedOutputStream(str(path), "zstd") as out:
        out.write(b"a\n" + b"".join(b"%d\n" % i for i in range(1000)))
    scan = scan_inputs(path, mark_rows=90)
    splits = cut(scan, 90)
    for order in (splits, splits[::-1], [splits[3], splits[3], splits[1], splits[7]]):
        for split in order:
            rows = [
                row for piece in read_split(split, scan.schema, ["a"], 40) for row in piece.columns["a"].to_pylist()
            ]
            assert rows == [str(row) for row in range(split.first_row, split.first_row + split.n_rows)]
    # A file of the same name and another content is another file.
    shutil.copy(path, tmp_path / "copy.csv.zst")
    with pa.CompressedOutputStream(str(path), "zstd") as out:
        out.write(b"a\nx\ny\n")
    again = scan_inputs(path)
    (piece,) = read_split(cut(again, 10)[0], again.schema, ["a"], 10)
    assert piece.columns["a"].to_pylist() == ["x", "y"]


@pytest.mark.parametrize("suffix", [".csv.gz", ".jsonl.zst", ".parquet"])
def test_several_threads_read_one_file(tmp_path, suffix):
    path = tmp_path / f"in{suffix}"
    batch = pa.record_batch({"a": pa.array(range(5000))})
    with open_part(path, batch.schema, format_of(path)) as part:
        part.write(batch)
    scan = scan_inputs(path, mark_rows=100)

    def read(split: FileSplit) -> list[int]:
        pieces = read_split(split, scan.schema, ["a"], 30)
        return [int(value) for piece in pieces for value in piece.arrow(["a"])["a"].to_pylist()]

    splits = cut(scan, 100)
    assert len(splits) == 50
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(read, splits))
    assert [row for rows in found for row in rows] == list(range(5000))


def test_a_split_that_is_left_early_is_read_again(tmp_path):
    path = tmp_path / "in.parquet"
    pq.write_table(pa.table({"a": list(range(1000))}), path)
    scan = scan_inputs(path)
    first, second, *_ = cut(scan, 100)
    for split in (first, second, first):
        pieces = read_split(split, scan.schema, ["a"], 10)
        assert next(pieces).columns["a"].to_pylist() == list(range(split.first_row, split.first_row + 10))
        pieces.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize("codec", ["lz4", "zstd"])
@pytest.mark.parametrize("suffix", [".feather", ".arrows"])
def test_compressed_arrow_files(tmp_path, codec, suffix):
    path = tmp_path / f"in{suffix}"
    table = pa.table({"s": [str(i) for i in range(1000)], "i": list(range(1000))})
    opened = pa.ipc.new_stream if suffix == ".arrows" else pa.ipc.new_file
    with opened(path, table.schema, options=pa.ipc.IpcWriteOptions(compression=codec)) as writer:
        writer.write_table(table, 100)
    scan = scan_inputs(path)
    rows = [
        piece.columns["s"].to_pylist()
        for split in cut(scan, 250)
        for piece in read_split(split, scan.schema, ["s"], 1000)
    ]
    assert [row for some in rows for row in some] == [str(i) for i in range(1000)]


@pytest.mark.parametrize("compression", ["lz4", "zstd"])
@pytest.mark.parametrize("stream", [False, True])
def test_compressed_arrow_files_in_folders(tmp_path, compression, stream):
    options = pa.ipc.IpcWriteOptions(compression=compression)
    for country, first in (("DE", 0), ("FR", 5000)):
        folder = tmp_path / "in" / f"country={country}"
        folder.mkdir(parents=True)
        table = pa.table({"n": range(first, first + 5000), "text": [f"text {n % 7}" for n in range(5000)]})
        opened = pa.ipc.new_stream if stream else pa.ipc.new_file
        with opened(folder / "a.arrow", table.schema, options=options) as writer:
            writer.write_table(table, max_chunksize=700)
    scan = scan_inputs(tmp_path / "in", where=parse_where("n < 7000"))
    assert (scan.n_rows, scan.schema.names) == (10_000, ["n", "text", "country"])
    numbers, countries = [], []
    for split in cut(scan, 900):
        for piece in read_split(split, scan.schema, ["n", "country"], 400):
            assert list(piece.columns) == ["n", "country"]
            numbers += piece.columns["n"].to_pylist()
            countries += piece.columns["country"].to_pylist()
    assert numbers == list(range(10_000))
    assert countries == ["DE"] * 5000 + ["FR"] * 5000
