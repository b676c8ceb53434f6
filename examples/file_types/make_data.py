"""Makes the table of real files that the example runs over: path and content, one row a file.

python make_data.py FOLDER OUTPUT.parquet [N_FILES]
"""

import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

LARGEST = 64 * 1024  # bytes; a larger file's answer would be the same, its request only longer


def table_of_files(folder: Path, n_files: int) -> pa.Table:
    """Every k-th file below the folder, so that all its packages are seen: columns path (string), content (binary)."""
    paths = sorted(p for p in folder.rglob("*") if p.is_file() and not p.is_symlink() and p.stat().st_size <= LARGEST)
    step = max(1, len(paths) // n_files)
    chosen = paths[::step][:n_files]
    return pa.table({"path": [str(p.relative_to(folder)) for p in chosen], "content": [p.read_bytes() for p in chosen]})


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    table = table_of_files(Path(sys.argv[1]), int(sys.argv[3]) if len(sys.argv) == 4 else 2000)
    pq.write_table(table, sys.argv[2])
    print(f"{table.num_rows} files -> {sys.argv[2]}")
