"""Every source with every sink: what goes in comes out, in order, whatever the splits, batches and parts."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import pyarrow as pa
import pytest

from twofold._batch.formats import Format, format_of
from twofold._batch.sinks import join, open_part
from twofold._batch.sinks.csv import cell_texts
from twofold._batch.sources import FileSplit, InputScan, cut, read_split, scan_inputs, schema_from_text, schema_to_text
from twofold._errors import OutputError

SUFFIXES = [
    ".parquet",
    ".csv",
    ".csv.gz",
    ".csv.zst",
    ".jsonl",
    ".jsonl.gz",
    ".jsonl.zst",
    ".arrow",
    ".arrows",
]
N_ROWS, SPLIT_ROWS, BATCH_ROWS = 500, 90, 40


def table(n_rows: int = N_ROWS) -> pa.RecordBatch:
    numbers = range(n_rows)
    return pa.record_batch(
        {
            "id": pa.array(numbers, pa.int64()),
            "flag": pa.array([None if i % 7 == 0 else i % 2 == 0 for i in numbers], pa.bool_()),
            "amount": pa.array(
                [None if i % 11 == 0 else float("nan") if i % 13 == 0 else i / 7 for i in numbers], pa.float64()
            ),
            "small": pa.array([i / 3 for i in numbers], pa.float32()),
            "text": pa.array(
                [None if i % 5 == 0 else "" if i % 3 == 0 else f'{i}, "é"\n' for i in numbers], pa.string()
            ),
            "code": pa.array([f"{i:05d}" for i in numbers], pa.string()),
            "kind": pa.array([f"k{i % 4}" for i in numbers], pa.string()).dictionary_encode(),
            "when": pa.array(
                [dt.datetime(2024, 1, 1, tzinfo=dt.UTC) + dt.timedelta(microseconds=i) for i in numbers],
                pa.timestamp("us", "UTC"),
            ),
            "vector": pa.array([[i / 3, float(i)] for i in numbers], pa.list_(pa.float64())),
            "place": pa.array(
                [{"x": i, "y": [f"{i}"]} for i in numbers], pa.struct([("x", pa.int64()), ("y", pa.list_(pa.string()))])
            ),
        }
    )


def write(path: Path, batch: pa.RecordBatch) -> Path:
    with open_part(path, batch.schema, format_of(path)) as part:
        for start in range(0, batch.num_rows, 70):
            part.write(batch.slice(start, 70))
    return path


def copy(scan: InputScan, output: Path, split_rows: int = SPLIT_ROWS) -> None:
    """What a run does with the rows, without a model; everything but rows goes through JSON."""
    schema = schema_from_text(schema_to_text(scan.schema))
    parts = []
    for index, split in enumerate(cut(scan, split_rows)):
        split = FileSplit.from_json(json.loads(json.dumps(split.to_json())))
        parts.append(output.with_name(f"part-{index:05d}{format_of(output).suffix}"))
        with open_part(parts[-1], schema, format_of(output), header=False) as part:
            for piece in read_split(split, schema, schema.names, BATCH_ROWS):
                assert not piece.broken
                columns = list(piece.arrow(schema.names).values())
                part.write(pa.RecordBatch.from_arrays(columns, schema=schema))
    join(parts, output, schema, format_of(output))


def texts(scan: InputScan) -> dict[str, list[str | None]]:
    """All cells as CSV writes them: the same in every format."""
    found: dict[str, list[str | None]] = {name: [] for name in scan.schema.names}
    row = 0
    for split in cut(scan, 1 << 20):
        for piece in read_split(split, scan.schema, scan.schema.names, 1 << 20):
            assert piece.first_row == row
            row += piece.n_rows
            for name, column in piece.arrow(scan.schema.names).items():
                found[name] += cell_texts(column).to_pylist()
    return found


def expected(batch: pa.RecordBatch) -> dict[str, list[str | None]]:
    return {name: cell_texts(batch.column(name)).to_pylist() for name in batch.schema.names}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inputs")
    return {suffix: write(folder / f"in{suffix}", table()) for suffix in SUFFIXES}


@pytest.mark.parametrize("sink", SUFFIXES)
@pytest.mark.parametrize("source", SUFFIXES)
def test_rows_survive(inputs, tmp_path, source, sink):
    scan = scan_inputs(inputs[source], mark_rows=64)
    assert scan.n_rows == N_ROWS
    copy(scan, tmp_path / f"out{sink}")
    again = scan_inputs(tmp_path / f"out{sink}")
    assert again.n_rows == N_ROWS
    # A list from CSV is text that holds JSON; written as a cell again it is quoted as any text.
    assert {name: list(map(unquoted, cells)) for name, cells in texts(again).items()} == {
        name: list(map(unquoted, cells)) for name, cells in expected(table()).items()
    }


def unquoted(cell: str | None) -> str | None:
    if cell and cell[0] == '"' and len(cell) > 2:
        return cell[1:-1].replace('""', '"')
    return cell


@pytest.mark.parametrize("sink", [".parquet", ".arrow", ".arrows"])
@pytest.mark.parametrize("source", [".parquet", ".arrow", ".arrows"])
def test_types_survive(inputs, tmp_path, source, sink):
    copy(scan_inputs(inputs[source]), tmp_path / f"out{sink}")
    assert scan_inputs(tmp_path / f"out{sink}").schema.equals(table(9).schema)


@pytest.mark.parametrize("sink", SUFFIXES)
def test_no_rows(tmp_path, sink):
    output = tmp_path / f"out{sink}"
    join([], output, table().schema, format_of(output))
    scan = scan_inputs(output)
    assert scan.n_rows == 0
    assert scan.schema.names == ([] if "jsonl" in sink else table().schema.names)
    with open_part(tmp_path / f"part{sink}", table().schema, format_of(output)):
        pass
    assert scan_inputs(tmp_path / f"part{sink}").n_rows == 0


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_several_files_in_order(tmp_path, suffix):
    for index in range(3):
        write(tmp_path / f"{index}{suffix}", table().slice(100 * index, 100))
    scan = scan_inputs(tmp_path, mark_rows=7)
    rows = []
    for split in cut(scan, 30):
        for piece in read_split(split, scan.schema, ["id"], 7):
            rows += [int(value) for value in piece.arrow(["id"])["id"].to_pylist()]
    assert rows == list(range(300))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_pieces_have_the_size_of_a_batch(inputs, suffix):
    scan = scan_inputs(inputs[suffix], mark_rows=64)
    for split in cut(scan, SPLIT_ROWS):
        sizes = [piece.n_rows for piece in read_split(split, scan.schema, ["id"], BATCH_ROWS)]
        assert sizes == [BATCH_ROWS] * (split.n_rows // BATCH_ROWS) + [split.n_rows % BATCH_ROWS] * (
            split.n_rows % BATCH_ROWS > 0
        )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, a device that is always full")
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_full_disk_is_named(suffix):
    with pytest.raises(OutputError, match=r"'/dev/full' cannot be written: the disk is full"):
        write_to(Path("/dev/full"), format_of(f"x{suffix}"))


def write_to(path: Path, output_format: Format) -> None:
    with open_part(path, table().schema, output_format) as part:
        part.write(table())


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_folder_that_is_not_there(tmp_path, suffix):
    output = tmp_path / "absent" / f"out{suffix}"
    with pytest.raises(OutputError, match="its folder is not there"):
        write_to(output, format_of(output))
    with pytest.raises(OutputError, match="its folder is not there"):
        join([], output, table().schema, format_of(output))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_happens_between_writes_is_not_the_outputs_fault(tmp_path, suffix):
    output = tmp_path / f"out{suffix}"
    with pytest.raises(OSError, match="mine"):
        fail_between_writes(output)


def fail_between_writes(output: Path) -> None:
    with open_part(output, table().schema, format_of(output)) as part:
        part.write(table())
        raise OSError("mine")
