"""What travels between the server process and a model process: columns as Arrow buffers, never pickle.

    frame     size of the columns (8 bytes), size of the rest (8 bytes), columns, rest
    columns   one Arrow IPC record batch message, without its schema: both sides know the Signature
    rest      JSON: in an answer the rows that failed, and how many ran out of memory together; in a hello who calls

A call holds columns only; one for an answer in pieces has the rest "stream". That is answered by frames without
columns: a letter, and behind it the text of a piece (p), what the answer cost (u), or the end, with what failed (e). A
frame without columns to the model process takes the answer back. The 16 bytes before the columns keep their buffers
aligned.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

import msgspec
import pyarrow as pa

from twofold._columns import Batch
from twofold._errors import RowFailure
from twofold._runner import Result
from twofold._usage import Piece, Usage

__all__ = [
    "CANCEL_FRAME",
    "Buffer",
    "FrameReader",
    "answer_frame",
    "call_frame",
    "end_frame",
    "hello_frame",
    "piece_frame",
    "read_answer",
    "read_call",
    "read_hello",
    "read_piece",
    "stream_frame",
]

HEADER: Final = struct.Struct("<QQ")
STREAM: Final = b"stream"
# More than this in a header is not a frame of ours.
MOST_BYTES: Final = 1 << 40

Buffer = bytes | bytearray | memoryview


class FailedRow(msgspec.Struct, array_like=True):
    """A RowFailure and its row's place in the call, from 0."""

    row: int
    code: str
    message: str
    kind: str
    field: str
    traceback: str


class Rest(msgspec.Struct, array_like=True):
    """Of an answer: what there is to say beside the outputs."""

    failures: list[FailedRow]
    exhausted_rows: int


class Hello(msgspec.Struct):
    """The first frame of a model process."""

    token: str
    pid: int


_rest_decoder = msgspec.json.Decoder(Rest)
_failure_decoder = msgspec.json.Decoder(FailedRow)
_usage_decoder = msgspec.json.Decoder(tuple[int, int, str])
_hello_decoder = msgspec.json.Decoder(Hello)


def call_frame(batch: Batch) -> list[Buffer]:
    """The frame that asks for the answers to `batch`, in pieces to be written one after the other."""
    columns = batch.arrow().serialize()
    return [HEADER.pack(columns.size, 0), memoryview(columns)]


def read_call(columns: memoryview, schema: pa.Schema) -> Batch:
    """The batch of a call. Shares the frame's memory."""
    return _batch(columns, schema)


def answer_frame(result: Result) -> list[Buffer]:
    """The frame with what became of every row of a call."""
    columns = result.outputs.arrow().serialize()
    rest = b""
    if result.failures or result.exhausted_rows:
        failures = [FailedRow(at, f.code, f.message, f.kind, f.field, f.traceback) for at, f in result.failures.items()]
        rest = msgspec.json.encode(Rest(failures, result.exhausted_rows))
    return [HEADER.pack(columns.size, len(rest)), memoryview(columns), rest]


def read_answer(columns: memoryview, rest: memoryview, schema: pa.Schema) -> Result:
    """What became of the rows of a call."""
    outputs = _batch(columns, schema)
    if not rest:
        return Result(outputs)
    said = _rest_decoder.decode(rest)
    failures = {f.row: RowFailure(f.code, f.message, f.kind, f.field, f.traceback) for f in said.failures}
    return Result(outputs, failures, said.exhausted_rows)


def _batch(columns: memoryview, schema: pa.Schema) -> Batch:
    read = pa.ipc.read_record_batch(pa.py_buffer(columns), schema)
    return Batch(schema, read.num_rows, arrow=read)  # with our schema: what is known of it is kept by identity


def stream_frame(batch: Batch) -> list[Buffer]:
    """The frame that asks for the answer to the one row of `batch` in pieces."""
    columns = batch.arrow().serialize()
    return [HEADER.pack(columns.size, len(STREAM)), memoryview(columns), STREAM]


CANCEL_FRAME: Final = HEADER.pack(0, 1) + b"c"


def piece_frame(piece: Piece) -> bytes:
    if isinstance(piece, str):
        rest = b"p" + piece.encode()
    else:
        rest = b"u" + msgspec.json.encode([piece.prompt_tokens, piece.completion_tokens, piece.finish_reason])
    return HEADER.pack(0, len(rest)) + rest


def end_frame(failure: RowFailure | None) -> bytes:
    rest = b"e"
    if failure is not None:
        rest += msgspec.json.encode(
            FailedRow(0, failure.code, failure.message, failure.kind, failure.field, failure.traceback)
        )
    return HEADER.pack(0, len(rest)) + rest


def read_piece(rest: memoryview) -> Piece | RowFailure | None:
    """What a frame without columns from a model process says; at the end of a stream its failure, or None.

    Raises ValueError or msgspec's errors for anything else.
    """
    letter, said = bytes(rest[:1]), rest[1:]
    if letter == b"p":
        return str(said, "utf-8")
    if letter == b"u":
        return Usage(*_usage_decoder.decode(said))
    if letter != b"e":
        raise ValueError("this is not a frame of twofold")
    if not said:
        return None
    f = _failure_decoder.decode(said)
    return RowFailure(f.code, f.message, f.kind, f.field, f.traceback)


def hello_frame(token: str, pid: int) -> bytes:
    rest = msgspec.json.encode(Hello(token, pid))
    return HEADER.pack(0, len(rest)) + rest


def read_hello(rest: memoryview) -> Hello:
    """Raises msgspec.DecodeError for anything else."""
    return _hello_decoder.decode(rest)


class FrameReader:
    """Cuts arriving bytes into frames."""

    def __init__(self) -> None:
        self._received = bytearray()
        self._wanted = HEADER.size

    def feed(self, data: Buffer) -> Iterator[tuple[memoryview, memoryview]]:
        """The columns and the rest of each frame that is complete now.

        Raises ValueError for a header that cannot be ours.
        """
        received = self._received
        received += data
        while len(received) >= self._wanted:
            n_columns, n_rest = HEADER.unpack_from(received)
            if max(n_columns, n_rest) > MOST_BYTES:
                raise ValueError("this is not a frame of twofold")
            end = HEADER.size + n_columns + n_rest
            if len(received) < end:
                self._wanted = end
                return
            # Batches may keep the frame's memory: give it away, and go on in a new one.
            frame = memoryview(received)
            self._received = received = bytearray(frame[end:])
            self._wanted = HEADER.size
            columns = frame[HEADER.size : HEADER.size + n_columns]
            yield columns, frame[HEADER.size + n_columns : end]
