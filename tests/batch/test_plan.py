"""What a plan takes from its input: rows that are large are read and computed few at a time."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import twofold
from twofold._batch.executors.base import ModelFacts, facts_of
from twofold._batch.plan import identities, make_work, plan_splits
from twofold._batch.probe import measure
from twofold._batch.sources import expand_inputs, scan_inputs
from twofold._batch.stores import open_store
from twofold._model import ModelRef
from twofold._options import BatchOptions

ROW_BYTES = 50_000
N_ROWS = 500


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_large_texts_are_read_and_computed_few_at_a_time(suffix: str, tmp_path: Path) -> None:
    seen: set[str] = set()

    @twofold.model
    def length(text: str) -> int:
        seen.add(text[:3])
        return len(text)

    texts = [f"{n:03}" + "x" * (ROW_BYTES - 3) for n in range(N_ROWS)]
    path = tmp_path / f"texts.{suffix}"
    if suffix == "parquet":
        pq.write_table(pa.table({"text": texts}), path, compression="none", use_dictionary=False)
    elif suffix == "csv":
        path.write_text("text\n" + "".join(f"{text}\n" for text in texts))
    else:
        path.write_text("".join(f'{{"text": "{text}"}}\n' for text in texts))
    model = twofold.load(length)
    facts = ModelFacts.of(facts_of(model), ModelRef(model.name))
    options = BatchOptions()
    paths = expand_inputs(str(path))
    output = open_store(str(tmp_path / "lengths.csv"), options)
    scan = scan_inputs(paths)
    work = make_work(scan, str(path), facts, options, output)
    assert work.shape.batch_rows * ROW_BYTES <= 16 << 20
    assert work.shape.piece_rows * ROW_BYTES <= 16 << 20
    task = plan_splits(scan, N_ROWS, options, "", identities(paths), output.format)[0]
    assert measure(model, work, task, N_ROWS) is not None
    assert len(seen) <= work.shape.piece_rows
