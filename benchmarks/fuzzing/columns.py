"""Bodies in columns: Arrow streams and .npy files of all kinds, good ones and strange ones."""

from __future__ import annotations

import datetime
import io
import pathlib
import random
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["arrow_bodies", "csv_bodies", "npy_bodies"]

Row = Mapping[str, Any]
CODECS = (None, "lz4", "zstd")


class Trap:
    """Unpickled, it leaves a file: nobody may unpickle what strangers send."""

    def __init__(self, marker: str) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return pathlib.Path(self.marker).touch, ()


def _stream(table: pa.Table | pa.RecordBatch, codec: str | None, chunk_rows: int | None = None) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression=codec)) as writer:
        if isinstance(table, pa.Table):
            writer.write_table(table, chunk_rows)
        else:
            writer.write_batch(table)
    return sink.getvalue()


def arrow_bodies(row: Row, chance: random.Random, count: int = 60) -> list[bytes]:
    """Streams whose columns have the model's names, in types that are its own and others."""
    plain = pa.Table.from_pylist([dict(row)] * 3)
    found = [_stream(plain, codec) for codec in CODECS]
    found += [
        _stream(plain.slice(0, 0), None),
        _stream(plain, None, 1),
        _stream(plain.replace_schema_metadata({"a": "b" * 99}), None),
    ]
    while len(found) < count:
        n_rows = chance.choice([0, 1, 2, 9])
        names = [name for name in plain.column_names if chance.random() > 0.05]
        names += [chance.choice(["other", "", *names])] if chance.random() < 0.1 else []
        columns = [_column(plain, name, n_rows, chance) for name in names]
        table = pa.Table.from_arrays(columns, names)
        found.append(_stream(table, chance.choice(CODECS), chance.choice([None, 1])))
    return found


def _column(plain: pa.Table, name: str, n_rows: int, chance: random.Random) -> pa.Array:
    """A column that fits half of the time."""
    if name in plain.column_names and chance.random() < 0.5:
        values = [plain.column(name)[0].as_py()] * n_rows
        column = pa.array(values, plain.schema.field(name).type)
        return _other_form(column, chance) if chance.random() < 0.3 else column
    kind = chance.choice(STRANGE)
    return kind(n_rows)


def _other_form(column: pa.Array, chance: random.Random) -> pa.Array:
    """The same values, another layout."""
    kind = column.type
    if pa.types.is_nested(kind):
        return column
    forms = [lambda: column.dictionary_encode(), lambda: pc.run_end_encode(column)]
    if pa.types.is_string(kind):
        forms += [
            lambda: column.cast(pa.large_string()),
            lambda: column.cast(pa.string_view()),
            lambda: column.cast(pa.binary()),
        ]
    if pa.types.is_integer(kind):
        forms += [
            lambda: column.cast(pa.int16()),
            lambda: column.cast(pa.float32()),
            lambda: column.cast(pa.decimal128(24, 2)),
        ]
    return chance.choice(forms)()


def _storage(n: int) -> pa.Array:
    return pa.ExtensionArray.from_storage(pa.opaque(pa.int64(), "odd", "fuzz"), pa.array([1] * n, pa.int64()))


STRANGE: list[Callable[[int], pa.Array]] = [
    pa.nulls,
    lambda n: pa.array([None, 1, 2][:n] * 3, pa.int64())[:n],
    lambda n: pa.array([float("nan")] * n, pa.float64()),
    lambda n: pa.array([2**63] * n, pa.uint64()),
    lambda n: pa.array([1.5] * n, pa.float64()).cast(pa.float16()),
    lambda n: pa.array(["\0", "a" * 50, ""] * 3)[:n],
    lambda n: pa.array([b"\xff\xfe"] * n, pa.binary()),
    lambda n: pa.array([b"abcd"] * n, pa.binary(4)),
    lambda n: pa.array([True] * n),
    lambda n: pa.array([datetime.date(2024, 5, 6)] * n, pa.date64()),
    lambda n: pa.array([2**62] * n, pa.int64()).cast(pa.timestamp("s")),
    lambda n: pa.array([1] * n, pa.int64()).cast(pa.timestamp("ns", "Europe/Berlin")),
    lambda n: pa.array([1] * n, pa.int32()).cast(pa.time32("s")),
    lambda n: pa.array([1] * n, pa.int64()).cast(pa.duration("us")),
    lambda n: pa.array([pa.MonthDayNano((1, 2, 3))] * n),
    lambda n: pa.array([[1, None], [], None] * 3, pa.list_(pa.int64()))[:n],
    lambda n: pa.array([[[1.0]], [[]], None] * 3, pa.large_list(pa.list_(pa.float32())))[:n],
    lambda n: pa.array([[1.0] * 6] * n, pa.list_(pa.float32(), 6)),
    lambda n: pa.array([[1.0]] * n, pa.list_view(pa.float64())),
    lambda n: pa.array([{"name": "a", "price": None}] * n, pa.struct([("name", pa.string()), ("price", pa.float64())])),
    lambda n: pa.array([{}] * n, pa.struct([])),
    lambda n: pa.array([[("a", 1)]] * n, pa.map_(pa.string(), pa.int64())),
    lambda n: pa.DictionaryArray.from_arrays(pa.array([0, None, 1] * 3, pa.int8())[:n], pa.array(["a", None])),
    lambda n: pa.array([1] * n, pa.int64()).cast(pa.decimal256(40, 3)),
    lambda n: pa.UnionArray.from_sparse(pa.array([0] * n, pa.int8()), [pa.array([1] * n, pa.int64())]),
    _storage,
]


def npy_bodies(n_columns: int, marker: str) -> list[bytes]:
    """Files of many types and shapes, for a model with so many inputs; `marker` appears if one of them is unpickled."""
    arrays: list[Any] = []
    for kind in (
        "<f8",
        ">f8",
        "<f4",
        "<f2",
        "<i8",
        ">i4",
        "u1",
        "<u8",
        "?",
        "<c16",
        "<M8[us]",
        ">M8[D]",
        "<m8[s]",
        "<U3",
        "S3",
        "V4",
    ):
        for shape in ((2, n_columns), (2,), (2, 2, 3), (0, n_columns), (1, n_columns), (2, 0), ()):
            arrays.append(np.zeros(shape, kind))
            if len(shape) > 1:
                arrays.append(
                    np.asfortranarray(np.ones(shape, "i1").astype(kind) if kind != "V4" else np.zeros(shape, kind))
                )
    named = [("acid", "<f8"), ("sugar", ">f4"), ("year", "<i8")]
    arrays += [
        np.zeros(2, named),
        np.zeros(2, [*named, ("other", "O")]),
        np.zeros(2, [("acid", "<f8", (2,)), *named[1:]]),
    ]
    arrays += [np.zeros((2, 2), named), np.full((2, n_columns), np.nan), np.full((2, n_columns), np.inf, ">f8")]
    arrays += [
        np.full(2, Trap(marker), object),
        np.full((2, n_columns), None, object),
        np.full(2, 0x7FFFFFFF, "<u4").view("<U1"),
    ]
    arrays += [
        np.full((2, n_columns), np.datetime64("NaT"), "<M8[ns]"),
        np.zeros((3, n_columns), "<f16"),
        np.full(2, 0xD800, "<u4").view("<U1"),
    ]
    found: list[bytes] = []
    for array in arrays:
        sink = io.BytesIO()
        np.lib.format.write_array(sink, array, (2, 0) if len(found) % 5 == 0 else None, allow_pickle=True)
        found.append(sink.getvalue())
    return found + [_header(text) for text in NPY_HEADERS]


def _header(text: str) -> bytes:
    head = text.encode("latin-1") + b"\n"
    return b"\x93NUMPY\x01\0" + len(head).to_bytes(2, "little") + head + b"\0" * 48


NPY_HEADERS = [
    "{'descr': '<f8', 'fortran_order': False, 'shape': (999999999999999999999, 3)}",
    "{'descr': '<f8', 'fortran_order': False, 'shape': (-2, -3)}",
    "{'descr': '<f8', 'fortran_order': False, 'shape': (True, 6)}",
    "{'descr': '|V0', 'fortran_order': False, 'shape': (99999999999, 3)}",
    "{'descr': '|S0', 'fortran_order': False, 'shape': (999999999999,)}",
    "{'descr': '|O', 'fortran_order': False, 'shape': (6,)}",
    "{'descr': [('acid', '<f8'), ('acid', '<f8')], 'fortran_order': False, 'shape': (3,)}",
    "{'descr': " + "[('a', " * 90 + "'<f8'" + ")]" * 90 + ", 'fortran_order': False, 'shape': (6,)}",
    "{'descr': '<f8', 'fortran_order': 'x', 'shape': (2, 3)}",
    "{'descr': '<f8,' , 'fortran_order': False, 'shape': (2, 3)}",
    "{'descr': '(2,3)<f8', 'fortran_order': False, 'shape': (1,)}",
    "{'descr': '<f8', 'fortran_order': False, 'shape': (" + "1," * 80 + ")}",
    "{'descr': '<M8[99999999Y]', 'fortran_order': False, 'shape': (2, 3)}",
    "(" * 3000,
    "__import__('os').getpid()",
    "-" * 5000 + "1",
]


def csv_bodies(row: Row) -> list[bytes]:
    names, values = list(row), ["" if value is None else value for value in row.values()]
    head = ",".join(names)
    line = ",".join('"' + str(value).replace('"', '""') + '"' for value in values)
    texts = [
        f"{head}\n{line}\n{line}\n",
        f"{head}\r\n{line}",
        f"{head}\n",
        head,
        "",
        "\n\n",
        f"\ufeff{head}\n{line}",
        f"{head},{head}\n",
    ]
    texts += [
        f'{head}\n"{line}',
        f"{head}\n" + "," * 50,
        f"{head},other\n{line},1\n",
        f"{names[0]}\n\n\n1\n",
        f'"{head}',
        "a\0b\n1",
    ]
    texts += [
        f"{head}\n" + "\n" * 50,
        f"{head}\n{line}\n{line[: len(line) // 2]}",
        f"{head}\n" + line.replace(",", "\t"),
        "," * 9999,
    ]
    texts += [
        f"{head}\nNaN,inf,1e999",
        f"{head}\n" + ",".join(["null"] * len(names)),
        f"{head}\n" + ",".join(["9" * 5000] * len(names)),
    ]
    return [text.encode() for text in texts] + [b"\xff\xfe" + head.encode("utf-16-le"), head.encode() + b"\n\xff\xff\n"]
