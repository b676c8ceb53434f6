"""What a plan takes from its input: rows that are large are read and computed few at a time."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import twofold
from twofold._batch.executors.base import ModelFacts, facts_of
from twofold._batch.plan import identities, make_work, plan_splits
from twofold._batch.probe import fitting_rows, measure
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


@pytest.mark.parametrize(
    ("each_s", "call_s", "tried", "chosen"),
    [
        (5e-3, 1e-4, 16, 4),  # an embedding: a row is no cheaper in a larger call
        (2e-6, 1e-5, 4096, 8192),  # trees
        (2e-6, 1e-5, 64, 8192),  # the same where only small calls could be tried
        (1e-8, 1e-5, 16384, 16384),  # a comparison
        (0.05, 0.0, 1, 32),  # slow: one row was all there was time for
        (1e-3, 0.5, 16, 32),  # a call to far away
    ],
)
def test_rows_of_a_call_are_chosen_from_what_calls_cost(each_s: float, call_s: float, tried: int, chosen: int) -> None:
    took = {size: call_s + each_s * size for size in (1, 4, 16, 64, 256, 1024, 4096, 16384) if size <= tried}
    assert fitting_rows(took, 32768) == chosen
    assert fitting_rows(took, 16) <= max(16, tried)
