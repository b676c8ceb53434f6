"""The text on a scanned page: the OCR models that the package `rapidocr` carries, on one thread.

The bytes of an image in; its lines from top to bottom, and how sure the model is of the least sure one.
"""

import logging
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from PIL import Image, UnidentifiedImageError
from rapidocr import RapidOCR

import twofold

logging.getLogger("RapidOCR").setLevel(logging.ERROR)
ONE_THREAD = {"EngineConfig.onnxruntime.intra_op_num_threads": 1, "EngineConfig.onnxruntime.inter_op_num_threads": 1}


@dataclass
class Page:
    text: str
    lines: int
    score: float


@twofold.model
class Ocr:
    def __init__(self) -> None:
        self.engine = RapidOCR(params={**ONE_THREAD, "Global.log_level": "error"})

    def predict(self, bytes: bytes) -> Page:  # noqa: A002 (the column's name)
        try:
            image = Image.open(BytesIO(bytes)).convert("RGB")
        except (UnidentifiedImageError, OSError) as error:
            raise twofold.BadRow(f"no whole image: {error}") from error
        found = self.engine(np.asarray(image)[:, :, ::-1])  # it reads blue, green, red
        if found.txts is None:
            return Page("", 0, 1.0)
        return Page("\n".join(found.txts), len(found.txts), min(found.scores))
