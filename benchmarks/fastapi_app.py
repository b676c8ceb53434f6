"""What a user would write by hand: the two models behind FastAPI.

python -m uvicorn benchmarks.fastapi_app:app
"""

from pathlib import Path

import numpy as np
import onnxruntime
from fastapi import FastAPI
from pydantic import BaseModel, Field

app = FastAPI()
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(
    str(Path(__file__).parent.parent / "examples/fraud/fraud.onnx"), options, providers=["CPUExecutionProvider"]
)


class Payment(BaseModel):
    features: list[float] = Field(min_length=30, max_length=30)


class Score(BaseModel):
    prediction: float


class Number(BaseModel):
    number: int


class Word(BaseModel):
    prediction: str


@app.post("/fraud")
async def fraud(payment: Payment) -> Score:
    (scores,) = session.run(None, {"features": np.array([payment.features], np.float32)})
    return Score(prediction=float(scores[0, 0]))


@app.post("/even")
async def even(row: Number) -> Word:
    return Word(prediction="Even" if row.number % 2 == 0 else "Odd")
