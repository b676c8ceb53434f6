"""Makes a table of payments: 30 features each, and who, where and when.

    python make_data.py OUTPUT.parquet [ROWS]

Columns: id (int64), merchant (string), at (timestamp in UTC), customer_years (int32, null where not known), and f0 to
f29 (float32). About a million rows a second, in 200 MB of memory however many.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from transactions import CHUNK_ROWS, NAMES, chunks

START_US = 1_767_225_600_000_000  # 2026-01-01T00:00:00Z
MERCHANTS = pa.array([f"merchant {n:03}" for n in range(400)])
SCHEMA = pa.schema(
    [
        ("id", pa.int64()),
        ("merchant", pa.string()),
        ("at", pa.timestamp("us", "UTC")),
        ("customer_years", pa.int32()),
        *((name, pa.float32()) for name in NAMES),
    ]
)


def batches(n_rows: int, seed: int = 3) -> Iterator[pa.RecordBatch]:
    """Record batches of SCHEMA with n_rows rows in all."""
    for first, features, random in chunks(n_rows, seed):
        n = len(features)
        which = random.integers(0, len(MERCHANTS), CHUNK_ROWS, np.int32)[:n]
        seconds = np.arange(first, first + n) * 3 + random.integers(0, 3, CHUNK_ROWS)[:n]
        years = random.integers(0, 40, CHUNK_ROWS, np.int32)[:n]
        unknown = random.random(CHUNK_ROWS)[:n] < 0.1
        columns = [
            pa.array(np.arange(first, first + n)),
            MERCHANTS.take(pa.array(which)),
            pa.array(START_US + seconds * 1_000_000).cast(SCHEMA.field("at").type),
            pa.array(years, mask=unknown),
            *(pa.array(column) for column in np.ascontiguousarray(features.T)),
        ]
        yield pa.record_batch(columns, schema=SCHEMA)


def write(output: Path, n_rows: int) -> None:
    """One row group a batch. Floats are written as they are: they do not compress, and no two are alike."""
    with pq.ParquetWriter(output, SCHEMA, use_dictionary=["merchant"], compression="none") as writer:
        for batch in batches(n_rows):
            writer.write_batch(batch, row_group_size=len(batch))


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    rows = int(sys.argv[2]) if len(sys.argv) == 3 else 100_000
    write(Path(sys.argv[1]), rows)
    print(f"{rows:,} payments -> {sys.argv[1]}")
