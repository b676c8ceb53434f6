"""Bulk bodies in: Arrow, .npy and CSV -> typed columns, by the rules that batch reads files by."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import lru_cache
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.csv as pc

from twofold._columns import Batch
from twofold._errors import FieldError, shorten
from twofold._realtime.http.bodies import too_large, too_many_rows
from twofold._realtime.http.bulk_arrow import read_stream
from twofold._realtime.http.media import ARROW, CSV, NPY, Form
from twofold._realtime.http.problems import ERRORS_SHOWN, MAX_ROWS, Refusal
from twofold._signature import Coerced, List, Signature, Struct, Tensor, type_name

__all__ = ["read_bulk"]

Columns = dict[str, pa.Array | pa.ChunkedArray]

PIECE_ROWS: Final = 8192  # a body of which no row fits is refused after these
NPY_HEADER_BYTES: Final = 10_000
CSV_HEADER_BYTES: Final = 1 << 20
BOM: Final = b"\xef\xbb\xbf"


def read_bulk(body: bytes, form: Form, signature: Signature, max_bytes: int) -> Batch:
    """The rows of a body of this form. Columns that the model does not have are not looked at.

    Raises Refusal for a body that is broken or too large, and for rows that do not fit.
    """
    try:
        return _read(body, form, signature, max_bytes)
    except UnicodeDecodeError as error:  # the names of Arrow's fields are read when they are asked for
        raise Refusal("bad_body", f"A name or text in the body is not UTF-8: {error}.") from None


def _read(body: bytes, form: Form, signature: Signature, max_bytes: int) -> Batch:
    columns, n_rows = _READERS[form](body, signature, max_bytes)
    if n_rows > MAX_ROWS:
        raise too_many_rows()
    missing = signature.missing(columns)
    if missing:
        errors = [FieldError(0, name, "a column", "none", f"there is no column {name!r}") for name in missing]
        fields = shorten(", ".join(field.name for field in signature.inputs), 500)
        raise Refusal(
            "row_does_not_fit",
            f"The body has no column {', '.join(map(repr, missing))}. The model's fields are {fields}.",
            errors[:ERRORS_SHOWN],
        )
    known = {field.name: columns[field.name] for field in signature.inputs if field.name in columns}
    read = signature.read_text if form == CSV else signature.read_arrow
    return _coerced(read, known, n_rows, signature)


def _coerced(read: Callable[[Columns, int], Coerced], columns: Columns, n_rows: int, signature: Signature) -> Batch:
    pieces: list[Batch] = []
    for start in range(0, n_rows, PIECE_ROWS):
        size = min(PIECE_ROWS, n_rows - start)
        piece = read({name: column.slice(start, size) for name, column in columns.items()}, size)
        if piece.misfits:
            errors = [error for found in piece.misfits.values() for error in found][:ERRORS_SHOWN]
            placed = [FieldError(start + e.row, e.field, e.expected, e.got, e.message) for e in errors]
            raise Refusal("row_does_not_fit", f"row {placed[0].row}: {placed[0].message}", placed)
        pieces.append(piece.batch)
    return Batch.concat(pieces) if pieces else Batch.from_rows(signature.input_schema, [])


def _arrow(body: bytes, _: Signature, max_bytes: int) -> tuple[Columns, int]:
    table = read_stream(body, max_bytes, MAX_ROWS)
    if table is None:
        raise too_large(max_bytes, f", or has more than {MAX_ROWS:,} rows")
    names = table.column_names
    repeated = next((name for name in names if names.count(name) > 1), None) if len(set(names)) < len(names) else None
    if repeated is not None:
        raise Refusal("bad_body", f"The body has two columns {repeated!r}.")
    return dict(zip(names, table.columns, strict=True)), table.num_rows


# ---- .npy


def _npy(body: bytes, signature: Signature, _: int) -> tuple[Columns, int]:
    array = _array(body)
    if not array.ndim:
        raise Refusal("bad_body", "The array has no dimension: it needs one of rows.")
    if len(array) > MAX_ROWS:
        raise too_many_rows()
    names = [field.name for field in signature.inputs]
    if array.dtype.names:
        if array.ndim != 1:
            raise Refusal("bad_body", "An array with named fields has one dimension, its rows.")
        arrays = {name: array[name] for name in array.dtype.names if name in names}
    elif len(names) == 1:
        tensor = isinstance(signature.inputs[0].type, Tensor)
        arrays = {names[0]: array[:, 0] if not tensor and array.ndim == 2 and array.shape[1] == 1 else array}
    elif any(isinstance(field.type, Tensor | List | Struct) for field in signature.inputs):
        fields = shorten(", ".join(f"{field.name} ({type_name(field.type)})" for field in signature.inputs), 500)
        raise Refusal(
            "bad_body",
            f"An array without names is one column for each field, and the model's fields are {fields}. Send an array "
            "whose fields have their names (a structured dtype), or the rows as Arrow or JSON.",
        )
    elif array.ndim == 2 and array.shape[1] == len(names):
        arrays = dict(zip(names, np.ascontiguousarray(array.T), strict=True))
    else:
        raise Refusal(
            "bad_body",
            f"The array has the shape {list(array.shape)}. This model has {len(names)} inputs: send an array of the "
            f"shape [rows, {len(names)}] with a column for each, in order ({shorten(', '.join(names))}), or one whose "
            "fields have their names.",
        )
    return {name: _column(found) for name, found in arrays.items()}, len(array)


def _array(body: bytes) -> np.ndarray:
    """The array of a .npy file, in the body's memory."""
    try:
        size = 2 if body[6:7] == b"\1" else 4  # of the header's length, which comes after the version
        start = 8 + size + int.from_bytes(body[8 : 8 + size], "little")
        shape, fortran, dtype = _npy_header(body[: min(start, NPY_HEADER_BYTES)])
    except Exception as error:  # numpy reads the header as Python text, which fails in many ways
        raise Refusal("bad_body", f"The body is not a .npy file: {shorten(str(error), 200)}.") from None
    if dtype.hasobject:
        raise Refusal("bad_body", "The array holds Python objects. Send one of numbers, texts or times.")
    if dtype.subdtype is not None or any(type(size) is not int for size in shape):
        raise Refusal(
            "bad_body", f"An array of the shape {shorten(str(shape))} and the type {shorten(str(dtype))} is not read."
        )
    count = 1
    for size in shape:
        count *= size
    if count * dtype.itemsize != len(body) - start or min(shape, default=0) < 0:
        raise Refusal(
            "bad_body",
            f"The array of the shape {list(shape)} has {count * dtype.itemsize} bytes, and {len(body) - start} came.",
        )
    if not count or not dtype.itemsize:
        return np.zeros(shape if max(shape, default=0) <= MAX_ROWS + 1 else (MAX_ROWS + 1, 0), dtype)
    flat = np.frombuffer(body, dtype, count, start)
    return flat.reshape(shape, order="F" if fortran else "C")


@lru_cache(maxsize=256)
def _npy_header(header: bytes) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, whether columns come first, and type. numpy reads Python text, which takes longer than all else."""
    from numpy.lib import format as npy

    file = io.BytesIO(header)
    read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}[npy.read_magic(file)]
    found: tuple[tuple[int, ...], bool, np.dtype] = read(file, max_header_size=NPY_HEADER_BYTES)
    return found


def _column(array: np.ndarray) -> pa.Array:
    """(n, *shape) -> n rows: nested lists of fixed size where there is a shape."""
    flat = np.ascontiguousarray(array).reshape(-1)
    try:
        if flat.dtype.kind in "biufM":
            items = pa.array(flat.astype(flat.dtype.newbyteorder("="), copy=False))
        else:
            items = pa.array(flat.tolist())
    except (pa.ArrowException, ValueError, TypeError, SystemError) as error:  # the last for what is not Unicode
        raise Refusal("bad_body", f"An array of {array.dtype} cannot be read: {shorten(str(error), 200)}.") from None
    for size in reversed(array.shape[1:]):
        if not size:
            raise Refusal("bad_body", f"The array has the shape {list(array.shape)}: a row holds nothing.")
        items = pa.FixedSizeListArray.from_arrays(items, size)
    return items


# ---- CSV


def _csv(body: bytes, signature: Signature, _: int) -> tuple[Columns, int]:
    text = body.removeprefix(BOM)
    names, rest = _header(text)
    wanted = [field.name for field in signature.inputs if field.name in names]
    if not rest.strip(b"\r\n") and (len(names) > 1 or not rest):
        return {name: pa.array([], pa.string()) for name in wanted}, 0
    data = rest if rest.endswith(b"\n") else rest + b"\n"  # else pyarrow may take an empty last cell for a quoted one
    included = wanted or names[:1]
    try:
        table = pc.read_csv(
            pa.BufferReader(data),
            pc.ReadOptions(use_threads=False, block_size=len(data) + 1, column_names=names),
            pc.ParseOptions(newlines_in_values=b'"' in data, ignore_empty_lines=len(names) > 1),
            pc.ConvertOptions(
                column_types=dict.fromkeys(included, pa.string()),
                include_columns=included,
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )
    except pa.ArrowException as error:
        raise Refusal("bad_body", f"The body is not CSV in UTF-8: {shorten(str(error), 200)}.") from None
    return {name: table.column(name) for name in wanted}, table.num_rows


def _header(text: bytes) -> tuple[list[str], bytes]:
    """The names in the first record, and what comes after it."""
    import csv

    end = text.find(b"\n", 0, CSV_HEADER_BYTES) + 1
    if (not end or b'"' in text[:end]) and len(text) > (end or CSV_HEADER_BYTES):
        end = CSV_HEADER_BYTES  # a name in quotes may hold the end of a line
    first = text[: end or len(text)]
    try:
        lines = io.StringIO(first.decode("utf-8", "strict" if end < CSV_HEADER_BYTES else "ignore"), newline="")
        names = next(csv.reader(lines, strict=True), [])
    except (csv.Error, UnicodeDecodeError) as error:
        raise Refusal("bad_body", f"The header line of the CSV cannot be read: {error}.") from None
    end = len(lines.getvalue()[: lines.tell()].encode())
    if not any(names):
        raise Refusal("bad_body", "CSV begins with a line of the names of its columns, and the body has none.")
    if len(set(names)) < len(names):
        repeated = next(name for name in names if names.count(name) > 1)
        raise Refusal("bad_body", f"The CSV has two columns {shorten(repeated)!r}.")
    return names, text[end:]


_READERS: dict[Form, Callable[[bytes, Signature, int], tuple[Columns, int]]] = {ARROW: _arrow, NPY: _npy, CSV: _csv}
