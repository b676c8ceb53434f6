"""Frames: what goes in comes out, however the bytes arrive."""

from __future__ import annotations

import datetime
import math

import pyarrow as pa
import pytest

from twofold._columns import Batch
from twofold._errors import RowFailure
from twofold._realtime.frames import (
    FrameReader,
    answer_frame,
    call_frame,
    hello_frame,
    read_answer,
    read_call,
    read_hello,
)
from twofold._runner import Result

SCHEMA = pa.schema(
    [
        pa.field("n", pa.int64(), nullable=False),
        pa.field("word", pa.string()),
        pa.field("raw", pa.binary()),
        pa.field("when", pa.timestamp("us", tz="UTC")),
        pa.field("vector", pa.list_(pa.field("item", pa.float32(), nullable=False), 2), nullable=False),
        pa.field("list", pa.list_(pa.field("item", pa.int32()))),
        pa.field("struct", pa.struct([pa.field("a", pa.float64())])),
    ]
)
NOON = datetime.datetime(2026, 1, 2, 12, tzinfo=datetime.UTC)
ROWS = [
    (2**62, "é", b"\x00", NOON, [1.5, -0.0], [1, None], {"a": 0.1}),
    (-1, None, None, None, [math.inf, 2.0], None, None),
    (0, "", b"", NOON, [0.0, 0.0], [], {"a": None}),
]


def frames_of(data: bytes, at_once: int) -> list[tuple[memoryview, memoryview]]:
    reader = FrameReader()
    return [frame for at in range(0, len(data), at_once) for frame in reader.feed(data[at : at + at_once])]


@pytest.mark.parametrize("at_once", [1, 7, 64, 1 << 20])
def test_calls_survive_however_they_are_cut(at_once: int) -> None:
    calls = [Batch.from_rows(SCHEMA, ROWS), Batch.from_rows(SCHEMA, []), Batch.from_rows(SCHEMA, ROWS[:1])]
    data = b"".join(bytes(piece) for call in calls for piece in call_frame(call))
    frames = frames_of(data, at_once)
    assert [read_call(columns, SCHEMA).rows() for columns, _ in frames] == [call.rows() for call in calls]


def test_a_slice_of_columns_travels_as_its_rows_only() -> None:
    whole = Batch.from_arrow(Batch.from_rows(SCHEMA, ROWS * 1000).arrow())
    call = whole.slice(1, 2)
    data = b"".join(bytes(piece) for piece in call_frame(call))
    assert len(data) < 4096
    ((columns, _),) = frames_of(data, 1 << 20)
    assert read_call(columns, SCHEMA).rows() == ROWS[1:2]


def test_rows_without_fields_keep_their_number() -> None:
    schema = pa.schema([])
    data = b"".join(bytes(piece) for piece in call_frame(Batch.from_rows(schema, [(), ()])))
    ((columns, _),) = frames_of(data, 1 << 20)
    assert read_call(columns, schema).rows() == [(), ()]


def test_answers_carry_failures() -> None:
    failures = {
        0: RowFailure("bad_row", "no currency", field="amount"),
        2: RowFailure("model_failed", "by zero", kind="ZeroDivisionError", traceback="Traceback…"),
    }
    for given in (failures, {}):
        outputs = Batch.from_rows(SCHEMA, ROWS[:2])
        for exhausted_rows in (0, 5):
            data = b"".join(bytes(piece) for piece in answer_frame(Result(outputs, given, exhausted_rows)))
            ((columns, rest),) = frames_of(data, 1 << 20)
            answer = read_answer(columns, rest, SCHEMA)
            assert answer.outputs.rows() == ROWS[:2]
            assert (answer.failures, answer.exhausted_rows) == (given, exhausted_rows)


def test_hello() -> None:
    ((columns, rest),) = frames_of(hello_frame("secret", 17), 5)
    assert not columns
    hello = read_hello(rest)
    assert (hello.token, hello.pid) == ("secret", 17)


def test_what_is_no_frame_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="not a frame"):
        frames_of(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 1 << 20)
