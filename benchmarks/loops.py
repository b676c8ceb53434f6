"""Batch loops as somebody would write them by hand: a pool over the row groups, the answers written in order.

python -m benchmarks.loops even|MODEL.onnx INPUT.parquet OUTPUT.parquet WORKERS
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.even import parity

Answers = Callable[[str, int], pa.Array]  # of a row group of a file


def even(source: str, group: int) -> pa.Array:
    numbers = pq.ParquetFile(source).read_row_group(group, ["number"]).column(0).to_pylist()
    return pa.array([parity(n) for n in numbers])


def trees(path: str) -> Answers:
    import numpy as np
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = [f"f{n}" for n in range(30)]

    def answers(source: str, group: int) -> pa.Array:
        table = pq.ParquetFile(source).read_row_group(group, names)
        columns = [table.column(name).to_numpy() for name in names]
        scores = [
            session.run(None, {"features": np.stack([c[at : at + 8192] for c in columns], axis=1)})[0]
            for at in range(0, table.num_rows, 8192)
        ]
        return pa.array(np.concatenate(scores).reshape(-1))

    return answers


def main(kind: str, source: str, output: str, workers: int) -> None:
    answers = even if kind == "even" else trees(kind)
    file = pq.ParquetFile(source)
    writer: pq.ParquetWriter | None = None

    def write(group: int, prediction: pa.Array) -> None:
        nonlocal writer
        table = file.read_row_group(group).append_column("prediction", prediction)
        writer = writer or pq.ParquetWriter(output, table.schema)
        writer.write_table(table)

    if workers == 1:
        for group in range(file.num_row_groups):
            write(group, answers(source, group))
    else:
        pool: Executor = ProcessPoolExecutor(workers) if kind == "even" else ThreadPoolExecutor(workers)
        ahead: deque[tuple[int, Future[Any]]] = deque()
        with pool:
            for group in range(file.num_row_groups):
                ahead.append((group, pool.submit(answers, source, group)))
                if len(ahead) > workers:
                    first, future = ahead.popleft()
                    write(first, future.result())
            for first, future in ahead:
                write(first, future.result())
    if writer is not None:
        writer.close()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
