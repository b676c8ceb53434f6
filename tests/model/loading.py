"""What the tests of models share: a model file, its answer, and what is wrong with another."""

from __future__ import annotations

from typing import Any

import pytest

import twofold
from twofold._columns import Batch
from twofold._errors import ModelError
from twofold._model import load
from twofold._runner import Runner

PARITY = """
import twofold

@twofold.model
def parity(number: int) -> str:
    return "Even" if number % 2 == 0 else "Odd"
"""


def answer(model: twofold.Model, **row: Any) -> Any:
    batch = Batch.from_rows(model.signature.input_schema, [model.signature.row(row)])
    result = Runner(model).run(batch)
    assert not result.failures, result.failures
    return result.outputs.rows()[0][0]


def message(ref: Any, **options: Any) -> str:
    with pytest.raises(ModelError) as caught:
        load(ref, **options)
    assert "\n" not in caught.value.message
    return caught.value.message
