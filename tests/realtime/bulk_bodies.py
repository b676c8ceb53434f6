"""Bodies of bulk requests, and what comes back."""

from __future__ import annotations

import csv
import io
from typing import Any

import httpx
import numpy as np
import pyarrow as pa

ARROW, NPY, CSV, JSON = "application/vnd.apache.arrow.stream", "application/x-npy", "text/csv", "application/json"
LIMIT = 1 << 20


def ask(
    client: httpx.Client, body: bytes, kind: str, accept: str = "*/*", path: str = "/predict", **headers: str
) -> Any:
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.post(path, content=body, headers={"content-type": kind, "accept": accept, **headers})


def rows(count: int) -> list[dict[str, Any]]:
    return [{"acid": at / 8, "sugar": 2.0, "year": 1990 + at} for at in range(count)]


def stream(table: pa.Table, compression: str | None = None) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression=compression)) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def table_of(body: bytes) -> pa.Table:
    with pa.ipc.open_stream(body) as reader:
        return reader.read_all()


def npy(array: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=array.dtype.hasobject)
    return file.getvalue()


def csv_of(found: list[dict[str, Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(found[0]))
    writer.writeheader()
    writer.writerows(found)
    return text.getvalue().encode()


def in_every_form(found: list[dict[str, Any]]) -> dict[str, bytes]:
    import json

    plain = np.array([[row["acid"], row["sugar"], row["year"]] for row in found])
    return {
        ARROW: stream(pa.Table.from_pylist(found)),
        NPY: npy(plain),
        CSV: csv_of(found),
        JSON: json.dumps(found).encode(),
    }


def read_answer(kind: str, body: bytes) -> list[dict[str, Any]]:
    match kind.partition(";")[0]:
        case "application/json":
            import json

            return list(json.loads(body))
        case "application/vnd.apache.arrow.stream":
            return list(table_of(body).to_pylist())
        case "application/x-npy":
            array = np.load(io.BytesIO(body))
            return [dict(zip(array.dtype.names, row, strict=True)) for row in array.tolist()]
    found = csv.DictReader(io.StringIO(body.decode()))
    return [{"score": float(row["score"]), "rank": int(row["rank"])} for row in found]
