"""What a run will do: its columns, its splits and the fingerprint that ties its parts together."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from twofold._batch.executors.base import Measured, ModelFacts
from twofold._batch.formats import Format
from twofold._batch.mapping import Columns, Reading, match_columns, named
from twofold._batch.opening import Identity
from twofold._batch.places import is_url
from twofold._batch.record import digest
from twofold._batch.shape import BATCH_ROWS, Shape
from twofold._batch.sources import InputFile, InputScan, cut, parse_where, rows_until
from twofold._batch.stores import Store
from twofold._batch.work import SplitTask, Work
from twofold._errors import UsageError
from twofold._options import BatchOptions
from twofold._signature import Float, Int, Signature, Tensor, arrow_type

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Identities", "chosen_shape", "fingerprint", "identities", "make_work", "plan_splits", "split_rows_for"]

MOST_BATCH_ROWS = 32768
BATCH_BYTES = 16 << 20
PIECE_ROWS = 32768
PIECE_BYTES = 8 << 20
SORTED_CALLS = 16
"""Rows are sorted by length within a split: it should have so many calls."""
HELD = 16
"""A place has about so many times the bytes of a piece in hand: five pieces are on their way, as they were read, in the
types of the model's fields and as they are written."""
SPLIT_ROWS = 1 << 17
SPLIT_BYTES = 64 << 20
SPLIT_S = 2.0
MOST_SPLITS = 100_000
TEXT_BYTES = 32
CONTENT = "bytes"
FORMAT_VERSION = 2
"""Of what a run keeps: parts, reports, names. A run of another one is not gone on with."""
UNTYPED = ("csv", "jsonl")

Identities = dict[str, Identity]
"""Path of an input file -> its state when the run was planned."""


def identities(files: Sequence[InputFile]) -> Identities:
    """The states of the input's files, taken before the first look into one."""
    return {file.path: file.identity for file in files}


def recorded(files: Sequence[InputFile]) -> list[list[Any]]:
    """The input as it stands in a record: [[name, state], …]."""
    return [
        [file.name or (file.path if is_url(file.path) else os.path.abspath(file.path)), file.state]  # noqa: PTH100
        for file in files
    ]


def fingerprint(model: ModelFacts, files: Sequence[InputFile], options: BatchOptions, store: Store) -> dict[str, Any]:
    """What the user states that shapes the output. A run with another one is another run; `Shape` is chosen besides."""
    return {
        "format": FORMAT_VERSION,
        "model": model.version,
        "signature": digest(model.signature.to_json()),
        "inputs": recorded(files),
        **model.settings,
        "map": options.map,
        "keep": None if options.keep is None else list(options.keep),
        "rename": options.rename,
        "limit": options.limit_rows,
        "where": options.where,
        "input_format": options.input_format,
        "batch_rows": options.batch_rows,
        "unsorted": options.unsorted,
        "split_rows": options.split_rows,
        "output": str(store.format),
        "key": list(options.key),
    }


def make_work(
    scan: InputScan, given: str, model: ModelFacts, options: BatchOptions, store: Store, room: int | None = None
) -> Work:
    """Match columns and fields, and lay down the output's schema. UsageError and InputError say which name is wrong.

    Its shape is the largest that may be: calls and pieces are bounded by their bytes. `room`: bytes that the rows in
    hand at one place may take up.
    """
    import pyarrow as pa

    signature, source = model.signature, f"the input {given!r}"
    columns = match_columns(signature, scan.schema.names, options.map, source)
    where = None if options.where is None else parse_where(options.where)
    if where is not None:
        where.check(scan.schema, source, typed=scan.format.name not in UNTYPED)
    kept = _kept(scan.schema.names, options.keep, source, (CONTENT,) if scan.format.name == "files" else ())
    answers = _answers(signature, options.rename, kept)
    typed = _typed(scan, columns, signature, kept, store)
    fields = []
    reading = Reading(signature, columns)
    for name in kept:
        field = reading.field_of(name) if name in typed else None
        fields.append(scan.schema.field(name) if field is None else pa.field(name, arrow_type(field.type)))
    fields.extend(
        signature.output_schema.field(output_name).with_name(column) for output_name, column in answers.items()
    )
    row_bytes = _row_bytes(scan) + _signature_bytes(signature)
    most_rows = PIECE_ROWS if room is None else max(1, min(PIECE_ROWS, room // (HELD * row_bytes)))
    batch_rows = options.batch_rows or max(1, min(MOST_BATCH_ROWS, most_rows, BATCH_BYTES // row_bytes))
    piece_rows = max(batch_rows, min(most_rows, PIECE_BYTES // row_bytes))
    metadata = {key: value for key, value in (scan.schema.metadata or {}).items() if key != b"pandas"}
    return Work(
        signature=signature,
        input_schema=scan.schema,
        output_schema=pa.schema(fields, metadata=metadata or None),
        columns=columns,
        kept=kept,
        typed=frozenset(typed),
        answers=answers,
        where=where,
        store=store,
        shape=Shape(options.split_rows or SPLIT_ROWS, batch_rows, piece_rows),
    )


def _kept(
    available: Sequence[str], keep: Sequence[str] | None, source: str, left_out: Sequence[str]
) -> tuple[str, ...]:
    """Of files as rows the output has what they hold only where that is said."""
    if keep is None:
        return tuple(name for name in available if name not in left_out)
    absent = [name for name in keep if name not in set(available)]
    if absent:
        raise UsageError(f"--keep {absent[0]}: {source} has no such column. Its columns: {named(available)}.")
    return tuple(dict.fromkeys(keep))


def _answers(signature: Signature, rename: dict[str, str], kept: Sequence[str]) -> dict[str, str]:
    names = [field.name for field in signature.outputs]
    for name in rename:
        if name not in names:
            raise UsageError(
                f"--rename {name}={rename[name]}: the model has no output {name!r}. Its outputs: {named(names)}."
            )
    answers = {name: rename.get(name, name) for name in names}
    taken = set(kept)
    for name, column in answers.items():
        if column in taken:
            raise UsageError(
                f"the output would have two columns {column!r}: one of the input, or of another output, and the "
                f"model's {name!r}. Give the model's another name (--rename {name}=NAME), or keep other columns "
                "(--keep)."
            )
        taken.add(column)
    return answers


def _typed(scan: InputScan, columns: Columns, signature: Signature, kept: Sequence[str], store: Store) -> list[str]:
    """The kept columns that take their field's type: those of text and JSON, unless text stays text."""
    if scan.format.name not in UNTYPED or scan.format.name == store.format.name:
        return []
    reading = Reading(signature, columns)
    return [name for name in kept if reading.field_of(name) is not None]


def _row_bytes(scan: InputScan) -> int:
    """Bytes of a row: as its types say, or as it is stored where that is more (long texts and lists)."""
    stored = sum(file.n_bytes for file in scan.files)
    typed = sum(_arrow_bytes(field.type) for field in scan.schema)
    return max(1, typed, stored // max(scan.n_rows, 1))


def _arrow_bytes(kind: pa.DataType) -> int:
    import pyarrow.types as kinds

    if kinds.is_fixed_size_list(kind):
        return int(kind.list_size) * _arrow_bytes(kind.value_type)
    try:
        return max(1, int(kind.bit_width) // 8)
    except ValueError:
        return TEXT_BYTES


def _signature_bytes(signature: Signature) -> int:
    total = 0
    for field in (*signature.inputs, *signature.outputs):
        kind, items = field.type, 1
        if isinstance(kind, Tensor):
            items, kind = math.prod(kind.shape), kind.item
        total += items * (kind.bits // 8 if isinstance(kind, Int | Float) else TEXT_BYTES)
    return total


def split_rows_for(scan: InputScan, row_s: float | None) -> int:
    """Rows of a split where the user names none: about two seconds of work, at most 131,072 rows and 64 MiB.

    A power of four below that, so that two runs of the same job mostly agree. `row_s`: seconds of a row, or None.
    """
    rows = min(SPLIT_ROWS, max(1, SPLIT_BYTES // _row_bytes(scan)))
    wanted = 1024.0 if row_s is None else SPLIT_S / max(row_s, 1e-9)
    chosen = SPLIT_ROWS
    while chosen > 1 and chosen > wanted:
        chosen //= 4
    return max(1, min(rows, chosen), -(-scan.n_rows // MOST_SPLITS))


def chosen_shape(scan: InputScan, work: Work, measured: Measured | None, options: BatchOptions) -> Shape:
    """Within the largest shape, the one that suits what was measured (None: nothing could be)."""
    most = work.shape
    batch_rows = min(BATCH_ROWS, most.batch_rows)
    if options.batch_rows:
        batch_rows = options.batch_rows
    elif measured is not None:
        batch_rows = min(measured.batch_rows, most.batch_rows)
    piece_rows = batch_rows * max(1, most.piece_rows // batch_rows)
    split_rows = options.split_rows or split_rows_for(scan, None if measured is None else measured.row_s)
    by_length = measured is not None and measured.by_length
    if by_length and not options.split_rows:
        split_rows = max(split_rows, SORTED_CALLS * batch_rows)
    return Shape(split_rows, batch_rows, piece_rows, by_length)


def plan_splits(
    scan: InputScan, split_rows: int, options: BatchOptions, run_digest: str, inputs: Identities, output: Format
) -> list[SplitTask]:
    """The splits of a run in order; their parts' names follow from the run's fingerprint and the rows they have."""
    left = scan.n_rows if options.limit_rows is None else min(options.limit_rows, scan.n_rows)
    where = None if options.where is None or options.limit_rows is None else parse_where(options.where)
    tasks: list[SplitTask] = []
    for file in cut(scan, split_rows):
        if not left:
            break
        n_rows = passing = min(file.n_rows, left)
        if where is not None:
            n_rows, passing = rows_until(file, scan.schema, where, left)
        left -= passing
        index = len(tasks)
        name = f"part-{index:06d}-{digest([run_digest, file.to_json(), n_rows])[:10]}{output.suffix}"
        tasks.append(SplitTask(index, name, file, n_rows, inputs[file.path]))
    return tasks
