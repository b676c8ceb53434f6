"""The type of a file from its bytes: the ONNX model that the `magika` package carries.

A file's content in, a label and a score out.
"""

import json
from dataclasses import dataclass
from importlib.resources import files

import numpy as np
import onnxruntime

import twofold

MODEL = files("magika") / "models" / "standard_v3_3"
BLOCK = 4096  # bytes looked at, at either end of the file
PADDING = 256  # the token that stands for "no byte here"


@dataclass
class Guess:
    label: str
    score: np.float32


@twofold.model(example={"content": b"#!/bin/sh\necho hello\n"})
class FileType:
    def __init__(self) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # one thread a session: answers do not depend on the machine's load
        self.session = onnxruntime.InferenceSession((MODEL / "model.onnx").read_bytes(), options)
        self.labels: list[str] = json.loads((MODEL / "config.min.json").read_text())["target_labels_space"]

    def predict(self, content: bytes) -> Guess:
        tokens = np.full(2048, PADDING, np.int32)
        head = content[:BLOCK].lstrip()[:1024]
        tail = content[-BLOCK:].rstrip()[-1024:]
        tokens[: len(head)] = np.frombuffer(head, np.uint8)
        tokens[2048 - len(tail) :] = np.frombuffer(tail, np.uint8)
        if len(head) < 8:  # too little to tell more
            return Guess("txt" if content.isascii() else "unknown", np.float32(1))
        scores = self.session.run(None, {"bytes": tokens[np.newaxis]})[0][0]
        best = int(scores.argmax())
        return Guess(self.labels[best], scores[best])
