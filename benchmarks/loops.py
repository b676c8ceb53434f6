"""Batch loops written by hand: the best that this machine does with the same libraries, and plain pandas.

    python -m benchmarks.loops threads MODEL.onnx INPUT.parquet OUTPUT.parquet kept|all
    python -m benchmarks.loops pandas  MODEL.onnx INPUT.parquet OUTPUT.parquet kept|all
    python -m benchmarks.loops even    -          INPUT.parquet OUTPUT.parquet all
    python -m benchmarks.loops where   -          INPUT.parquet OUTPUT.parquet all

They recover from nothing, check nothing, put no row aside, and leave half a file when killed. Parquet is written with
the settings that twofold uses, so that the files are as large: zstd 1, dictionaries for text only.
"""

from __future__ import annotations

import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from queue import Queue
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

FEATURES = [f"f{n}" for n in range(30)]
KEPT = ["id", "merchant", "at", "customer_years"]
CALL_ROWS = 8192
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def session(model: str, threads: int) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


@contextmanager
def writing(output: str, schema: pa.Schema) -> Iterator[pq.ParquetWriter]:
    """A Parquet file that is on the disk when this ends."""
    text = [field.name for field in schema if pa.types.is_string(field.type)]
    with pq.ParquetWriter(
        output, schema, compression="zstd", compression_level=1, use_dictionary=text or False
    ) as writer:
        yield writer
    for path in (output, os.path.dirname(output)):  # noqa: PTH120
        opened = os.open(path, os.O_RDONLY)
        os.fsync(opened)
        os.close(opened)


def floats(array: pa.Array) -> np.ndarray:
    """Without pyarrow's own conversion, which would import pandas where it is installed: 0.3 s for nothing."""
    return np.frombuffer(array.buffers()[1], np.float32, len(array), array.offset * 4)


def by_threads(model: str, source: str, output: str, kept: list[str]) -> None:
    """A thread that reads row groups ahead, one that computes per core with a session of its own, one writer."""
    file = pq.ParquetFile(source)
    ahead = threading.Semaphore(2 * CORES + 1)  # row groups in memory
    read: Queue[tuple[int, pa.Table] | None] = Queue()
    scored: dict[int, pa.Table] = {}
    more = threading.Condition()

    def reads() -> None:
        columns = list(dict.fromkeys([*kept, *FEATURES]))
        for group in range(file.num_row_groups):
            ahead.acquire()
            read.put((group, file.read_row_group(group, columns, use_threads=False)))
        for _ in range(CORES):
            read.put(None)

    def scores() -> None:
        own = session(model, 1)
        while (item := read.get()) is not None:
            group, table = item
            columns = [floats(table.column(name).chunk(0)) for name in FEATURES]
            answers = [
                own.run(None, {"features": np.stack([c[at : at + CALL_ROWS] for c in columns], axis=1)})[0]
                for at in range(0, table.num_rows, CALL_ROWS)
            ]
            score = np.concatenate(answers).reshape(-1)
            prediction = pa.Array.from_buffers(pa.float32(), len(score), [None, pa.py_buffer(score)])
            with more:
                scored[group] = table.select(kept).append_column("prediction", prediction)
                more.notify()

    threads = [threading.Thread(target=work, daemon=True) for work in (reads, *[scores] * CORES)]
    for thread in threads:
        thread.start()
    schema = pa.schema([file.schema_arrow.field(name) for name in kept]).append(pa.field("prediction", pa.float32()))
    with writing(output, schema) as writer:
        for group in range(file.num_row_groups):
            with more:
                more.wait_for(lambda group=group: group in scored)  # type: ignore[misc]
                table = scored.pop(group)
            writer.write_table(table)
            ahead.release()
    for thread in threads:  # the interpreter, on its way out, would abort in one that still lets its session go
        thread.join()


def by_pandas(model: str, source: str, output: str, kept: list[str]) -> None:
    """What one writes first: pieces as DataFrames, the session as it comes (it uses all cores)."""
    file, own = pq.ParquetFile(source), session(model, 0)
    schema = pa.schema([file.schema_arrow.field(name) for name in kept]).append(pa.field("prediction", pa.float32()))
    with writing(output, schema) as writer:
        for batch in file.iter_batches(columns=list(dict.fromkeys([*kept, *FEATURES]))):
            frame = batch.to_pandas()
            frame["prediction"] = own.run(None, {"features": frame[FEATURES].to_numpy(np.float32)})[0].reshape(-1)
            writer.write_table(pa.Table.from_pandas(frame[[*kept, "prediction"]], schema, preserve_index=False))


def parity(number: int) -> str:
    return "Even" if number % 2 == 0 else "Odd"


def even(source: str, group: int) -> pa.Table:
    table = pq.ParquetFile(source).read_row_group(group, use_threads=False)
    answers = [parity(number) for number in table.column("number").to_pylist()]
    return table.append_column("prediction", pa.array(answers, pa.string()))


def where(source: str, group: int) -> pa.Table:
    from benchmarks.where import labels

    table = pq.ParquetFile(source).read_row_group(group, use_threads=False)
    numbers = table.column("number").chunk(0).to_numpy()
    answers = [labels(numbers[at : at + CALL_ROWS]) for at in range(0, len(numbers), CALL_ROWS)]
    return table.append_column("prediction", pa.array(np.concatenate(answers), pa.string()))


def by_processes(source: str, output: str, compute: Callable[[str, int], pa.Table]) -> None:
    """The article's function in a process per core, row group by row group, written in order."""
    file = pq.ParquetFile(source)
    ahead: deque[Future[pa.Table]] = deque()
    schema = file.schema_arrow.append(pa.field("prediction", pa.string()))
    with writing(output, schema) as writer, ProcessPoolExecutor(CORES) as pool:
        for group in range(file.num_row_groups):
            ahead.append(pool.submit(compute, source, group))
            if len(ahead) > 2 * CORES:
                writer.write_table(ahead.popleft().result())
        for future in ahead:
            writer.write_table(future.result())


def main(kind: str, model: str, source: str, output: str, columns: str) -> None:
    kept = KEPT if columns == "kept" else KEPT + FEATURES
    if kind in ("even", "where"):
        by_processes(source, output, even if kind == "even" else where)
    elif kind == "pandas":
        by_pandas(model, source, output, kept)
    else:
        by_threads(model, source, output, kept)


if __name__ == "__main__":
    main(*sys.argv[1:])
