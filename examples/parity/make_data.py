"""Makes a table of whole numbers.

    python make_data.py OUTPUT.parquet [ROWS]

Columns: id (int64), number (int64, of any sign and size).
"""

import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

CHUNK_ROWS = 1_000_000
SCHEMA = pa.schema([("id", pa.int64()), ("number", pa.int64())])


def write(output: str, n_rows: int) -> None:
    with pq.ParquetWriter(output, SCHEMA) as writer:
        for first in range(0, n_rows, CHUNK_ROWS):
            n = min(CHUNK_ROWS, n_rows - first)
            numbers = np.random.default_rng([1, first]).integers(-(2**63), 2**63 - 1, n, endpoint=True)
            writer.write_table(pa.table([np.arange(first, first + n), numbers], schema=SCHEMA))


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    rows = int(sys.argv[2]) if len(sys.argv) == 3 else 1_000_000
    write(sys.argv[1], rows)
    print(f"{rows:,} numbers -> {sys.argv[1]}")
