"""Embedding texts of mixed length: rows of like length share a call without the user asking.

    python -m benchmarks.lengths [--quick]

10,000 texts of 2 to 256 tokens, in random order, through MiniLM with int8 weights, one thread in each of two processes.
By hand: the same model in two processes, in calls of 32 texts, sorted by length or as they come.
"""

from __future__ import annotations

import argparse
import pydoc_data.topics
import re
import sys
import time
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.batch import fresh
from benchmarks.processes import HERE, TWOFOLD, interleaved, run, workplace
from benchmarks.results import Goal, Results

MODEL = f"{HERE / 'minilm.py'}:Embedding"
CALL_ROWS = 32
SORTED, FILE_ORDER, UNSORTED = "by hand, sorted", "by hand, file order", "twofold --unsorted"


def make_texts(path: Path, tokens: Path, rows: int) -> None:
    """Words of Python's documentation, so many that most texts are short and some are long; and their vocabulary."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    words = re.findall(r"[a-z]{2,}", " ".join(pydoc_data.topics.topics.values()).lower())
    random = np.random.default_rng(5)
    lengths = np.clip(random.lognormal(2.3, 1.2, rows), 2, 254).astype(int)
    starts = random.integers(0, len(words) - 256, rows)
    texts = [" ".join(words[start : start + n]) for start, n in zip(starts.tolist(), lengths.tolist(), strict=True)]
    pq.write_table(pa.table({"id": pa.array(range(rows), pa.int64()), "text": texts}), path)
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    trainer = trainers.WordPieceTrainer(vocab_size=30_000, special_tokens=["[PAD]", "[UNK]"], show_progress=False)
    tokenizer.train_from_iterator(words, trainer)
    tokenizer.save(str(tokens))


def _half(tokens: str, texts: list[str]) -> np.ndarray:
    from benchmarks.minilm import MiniLM

    model = MiniLM(tokens)
    return np.concatenate([model.embed(texts[at : at + CALL_ROWS]) for at in range(0, len(texts), CALL_ROWS)])


def by_hand(tokens: str, source: str, output: str, how: str) -> None:
    """What somebody who knows would write: every second text to each of two processes, sorted by length before."""
    table = pq.read_table(source)
    texts = table["text"].to_pylist()
    order = np.argsort([len(text) for text in texts], kind="stable") if how == "sorted" else np.arange(len(texts))
    halves = [order[0::2], order[1::2]]
    with get_context("spawn").Pool(2) as pool:
        parts = [[texts[at] for at in half] for half in halves]
        answers = np.concatenate(pool.map(partial(_half, tokens), parts, chunksize=1))
    answers = answers[np.argsort(np.concatenate(halves))]
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(answers.reshape(-1)), 384)
    pq.write_table(table.append_column("prediction", vectors), output)


def same(one: Path, other: Path) -> None:
    """The same rows in the same order; int8 activations are scaled by what else is in a call, so vectors are close."""
    tables = [pq.read_table(path) for path in (one, other)]
    vectors = [t["prediction"].combine_chunks().flatten().to_numpy().reshape(-1, 384) for t in tables]
    left, right = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in vectors)
    nearest = float((left * right).sum(1).min())
    if not tables[0]["id"].equals(tables[1]["id"]) or nearest < 0.9:
        raise SystemExit(f"{one.name} and {other.name} differ: {nearest}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of the texts, once")
    quick = parser.parse_args().quick
    began = time.perf_counter()
    rounds, rows = (1, 1000) if quick else (3, 10_000)
    results = Results.begin("lengths", rounds, quick=quick)
    with workplace() as folder:
        tokens = folder / "tokens.json"
        source, ours, hand = folder / "texts.parquet", folder / "ours.parquet", folder / "hand.parquet"
        make_texts(source, tokens, rows)
        batch = [*TWOFOLD, "batch", MODEL, str(source), str(ours), "--set", f"tokens={tokens}"]
        loop = [sys.executable, "-m", "benchmarks.lengths", "by-hand", str(tokens), str(source), str(hand)]
        run([*loop, "sorted"])
        run(batch)
        same(ours, hand)
        sides = {
            "twofold": partial(fresh, batch, ours, run),
            SORTED: partial(fresh, [*loop, "sorted"], hand, run),
        }
        costs = interleaved(rounds, sides)
        costs |= interleaved(
            1,
            {
                UNSORTED: partial(fresh, [*batch, "--unsorted"], ours, run),
                FILE_ORDER: partial(fresh, [*loop, "file-order"], hand, run),
            },
        )
    group = f"embedding, {rows:,} texts of 2 to 256 tokens"
    results.add(group, "CPU time", "s", {s: [c.cpu_s for c in found] for s, found in costs.items()}, Goal(1.05, SORTED))
    results.add(group, "time", "s", {side: [cost.wall_s for cost in found] for side, found in costs.items()})
    results.save(time.perf_counter() - began)


if __name__ == "__main__":
    if sys.argv[1:2] == ["by-hand"]:
        by_hand(*sys.argv[2:])
    else:
        main()
