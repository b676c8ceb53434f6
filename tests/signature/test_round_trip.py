"""Any row that fits survives JSON -> Arrow -> JSON, and CSV text -> Parquet -> JSON."""

from __future__ import annotations

import tempfile
from pathlib import Path

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.signature import strategies
from tests.signature.lines import records_of_lines
from twofold._batch.formats import format_of
from twofold._batch.sinks import open_part
from twofold._batch.sources import cut, read_split, scan_inputs
from twofold._columns import Batch
from twofold._signature import Signature


@st.composite
def signatures_with_rows(draw):
    """A signature whose outputs are its inputs, and rows that fit."""
    names = draw(st.lists(st.sampled_from(["a", "b c", "%d", 'say "é"', "x"]), min_size=1, max_size=3, unique=True))
    fields = tuple(draw(strategies.fields(strategies.types, name)) for name in names)
    rows = draw(st.lists(strategies.rows(fields), min_size=1, max_size=4))
    return Signature(fields, fields), rows


@settings(max_examples=150, deadline=None)
@given(signatures_with_rows())
def test_json_to_arrow_to_json(found):
    signature, rows = found
    answers = [signature.encode_row(row) for row in rows]
    assert [repr(signature.decode_row(answer)) for answer in answers] == [repr(row) for row in rows]
    requested, many = signature.decode(b"[" + b",".join(answers) + b"]")
    assert many
    assert repr(requested) == repr(rows)

    stored = Batch.from_rows(signature.input_schema, requested).arrow()
    coerced = signature.read_arrow(dict(zip(stored.schema.names, stored.columns, strict=True)), len(rows))
    assert not coerced.misfits
    assert signature.encode_rows(coerced.batch) == answers

    from_lines = signature.read_json(records_of_lines(answers))
    assert not from_lines.misfits
    assert repr(from_lines.batch.rows()) == repr(rows)
    assert from_lines.batch.arrow().schema == signature.input_schema
    json_rows = [msgspec.json.encode(signature.json_row(signature.inputs, row)) for row in rows]
    assert [repr(signature.decode_row(row)) for row in json_rows] == [repr(row) for row in rows]


@settings(max_examples=150, deadline=None)
@given(signatures_with_rows())
def test_csv_to_parquet_to_json(found):
    signature, rows = found
    answers = [signature.encode_row(row) for row in rows]
    with tempfile.TemporaryDirectory() as folder:
        csv, parquet = f"{folder}/rows.csv", f"{folder}/rows.parquet"
        write(csv, Batch.from_rows(signature.input_schema, rows).arrow())
        (piece,) = pieces(csv)
        assert piece.origin == "text"
        from_text = signature.read_text(piece.columns, piece.n_rows)
        assert not from_text.misfits
        write(parquet, from_text.batch.arrow())
        (piece,) = pieces(parquet)
        from_arrow = signature.read_arrow(piece.columns, piece.n_rows)
        assert not from_arrow.misfits
    assert signature.encode_rows(from_arrow.batch) == answers


def write(path, batch):
    with open_part(Path(path), batch.schema, format_of(path)) as part:
        part.write(batch)


def pieces(path):
    scan = scan_inputs(path, mark_rows=1024)
    return [
        piece
        for split in cut(scan, split_rows=1000)
        for piece in read_split(split, scan.schema, scan.schema.names, batch_rows=1000)
    ]
