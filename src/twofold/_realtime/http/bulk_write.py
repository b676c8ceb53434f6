"""What became of the rows of a bulk request -> its answer in the form that was asked for.

Rows that failed: an item in their place in JSON; in Arrow and CSV a column of errors, which is there only if some row
failed; .npy has no place for them, so that the request fails as a whole.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Final

import numpy as np
import pyarrow as pa

from twofold._columns import Batch
from twofold._errors import FieldError, RowFailure, shorten
from twofold._realtime.http.media import ARROW, CSV, JSON, NPY, Form
from twofold._realtime.http.plain import failure_of_all, json_list
from twofold._realtime.http.problems import (
    ERRORS_SHOWN,
    FAILED_ROWS,
    MESSAGE_CHARACTERS,
    PROBLEMS,
    Answer,
    failure_item,
    json_bytes,
    problem,
    problem_of_failure,
)
from twofold._runner import Result
from twofold._signature import Signature

__all__ = ["bulk_answer"]

ERRORS: Final = "_error"
CONTENT_TYPES: Final[dict[Form, bytes]] = {
    JSON: b"application/json",
    ARROW: b"application/vnd.apache.arrow.stream",
    NPY: b"application/x-npy",
    CSV: b"text/csv; charset=utf-8",
}


def bulk_answer(signature: Signature, form: Form, result: Result) -> Answer:
    """The answer to a list of rows, in one of `answer_forms`."""
    n_rows = result.outputs.n_rows + len(result.failures)
    failures = result.failures
    if failures:
        whole = failure_of_all(list(failures.values()), n_rows)
        if whole is not None:
            return problem_of_failure(whole, n_rows)
        if form == NPY:
            return _all_failed(failures, n_rows)
    headers = ((FAILED_ROWS, str(len(failures)).encode()),) if failures else ()
    return Answer(200, CONTENT_TYPES[form], headers, _WRITERS[form](signature, result, n_rows))


def _all_failed(failures: dict[int, RowFailure], n_rows: int) -> Answer:
    worst = max(failures.values(), key=lambda failure: PROBLEMS[failure.code].status if failure.code in PROBLEMS else 0)
    code = worst.code if worst.code in PROBLEMS else "model_failed"
    errors = [FieldError(at, failure.field, "", "", failure.message) for at, failure in failures.items()]
    row = next(at for at, failure in failures.items() if failure is worst)
    detail = f"{len(failures)} of {n_rows} rows have no answer, which .npy has no place for; row {row}: {worst.message}"
    return problem(code, detail, errors[:ERRORS_SHOWN])


def _json(signature: Signature, result: Result, n_rows: int) -> bytes:
    texts = signature.encode_rows(result.outputs)
    if not result.failures:
        return json_list(texts)
    answered = iter(texts)
    failed = result.failures
    return json_list(json_bytes(failure_item(failed[at])) if at in failed else next(answered) for at in range(n_rows))


def _arrow(signature: Signature, result: Result, n_rows: int) -> bytes:
    columns = result.outputs.arrow()
    if result.failures:
        places = pa.array(_places(result, n_rows), pa.int64())
        arrays = [column.take(places) for column in columns.columns]
        fields = [field.with_nullable(True) for field in columns.schema]
        arrays.append(pa.array(_errors(result, n_rows), pa.string()))
        fields.append(pa.field(_error_name(signature), pa.string()))
        columns = pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, columns.schema) as stream:
        stream.write_batch(columns)
    found: bytes = sink.getvalue().to_pybytes()
    return found


def _npy(signature: Signature, result: Result, n_rows: int) -> bytes:
    outputs: Batch = result.outputs
    arrays = [_plain(outputs.numpy(field.name)) for field in signature.outputs]
    if len(arrays) == 1:
        array = arrays[0]
    else:
        kinds = [
            (field.name, found.dtype, found.shape[1:]) for field, found in zip(signature.outputs, arrays, strict=True)
        ]
        array = np.empty(n_rows, np.dtype(kinds))
        for field, found in zip(signature.outputs, arrays, strict=True):
            array[field.name] = found
    file = io.BytesIO()
    np.lib.format.write_array(file, np.ascontiguousarray(array), allow_pickle=False)
    return file.getvalue()


def _plain(array: np.ndarray) -> np.ndarray:
    return array.data if isinstance(array, np.ma.MaskedArray) else array


def _csv(signature: Signature, result: Result, n_rows: int) -> bytes:
    columns = [list(map(_cell, texts)) for texts in signature.column_texts(result.outputs)]
    names = [field.name for field in signature.outputs]
    if result.failures:
        columns = [_with_gaps(cells, result, n_rows) for cells in columns]
        columns.append([b"" if text is None else _text_cell(text) for text in _errors(result, n_rows)])
        names.append(_error_name(signature))
    head = b",".join(map(_text_cell, names))
    return b"\n".join([head, *map(b",".join, zip(*columns, strict=True)), b""])


def _cell(text: bytes) -> bytes:
    """The cell of a value from its JSON text; what is neither a number nor a word stands in quotes where it must."""
    first = text[:1]
    if first == b'"':
        return _text_cell(_unquoted(text))
    if first in (b"[", b"{"):
        return _text_cell(text.decode())
    return b"" if text == b"null" else text


def _unquoted(text: bytes) -> str:
    import msgspec

    found: str = msgspec.json.decode(text)
    return found


def _text_cell(text: str) -> bytes:
    if text and not any(sign in text for sign in ',"\r\n'):
        return text.encode()
    return b'"' + text.replace('"', '""').encode() + b'"'


def _with_gaps(cells: list[bytes], result: Result, n_rows: int) -> list[bytes]:
    answered: Iterator[bytes] = iter(cells)
    return [b"" if at in result.failures else next(answered) for at in range(n_rows)]


def _places(result: Result, n_rows: int) -> list[int | None]:
    """Where the answer of each row stands among the outputs; None for a row that failed."""
    places = iter(range(n_rows))
    return [None if at in result.failures else next(places) for at in range(n_rows)]


def _errors(result: Result, n_rows: int) -> list[str | None]:
    """`code: message` for the rows that failed."""
    said = {
        at: f"{failure.code}: {shorten(failure.message, MESSAGE_CHARACTERS)}" for at, failure in result.failures.items()
    }
    return [said.get(at) for at in range(n_rows)]


def _error_name(signature: Signature) -> str:
    """`_error`, with as many more `_` in front as it takes to be no output's name."""
    name = ERRORS
    while any(field.name == name for field in signature.outputs):
        name = f"_{name}"
    return name


_WRITERS: dict[Form, Callable[[Signature, Result, int], bytes]] = {JSON: _json, ARROW: _arrow, NPY: _npy, CSV: _csv}
