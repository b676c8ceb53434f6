"""What a missing column's message proposes."""

from __future__ import annotations

import pytest

from twofold._batch.mapping import match_columns
from twofold._errors import InputError
from twofold._signature import Field, Float, Signature, Tensor

VECTOR = Signature((Field("features", Tensor(Float(32), (3,))),), ())
NUMBER = Signature((Field("amount", Float(64)),), ())


@pytest.mark.parametrize(
    ("signature", "columns", "proposed"),
    [
        (VECTOR, ["id", "f0", "f1", "f2"], "--map features=f0..f2"),
        (VECTOR, ["id", "f3", "f1", "f2", "x1", "x2"], "--map features=f1..f3"),
        (VECTOR, ["f0", "f1", "f3"], "--map features=COLUMN"),
        (VECTOR, ["f0", "f1", "f2", "f3"], "--map features=COLUMN"),
        (VECTOR, ["f00", "f01", "f02"], "--map features=f00..f02"),
        (NUMBER, ["f0"], "--map amount=COLUMN"),
    ],
)
def test_a_missing_column(signature: Signature, columns: list[str], proposed: str) -> None:
    with pytest.raises(InputError) as caught:
        match_columns(signature, columns, {}, "the input")
    assert caught.value.message.endswith(proposed)
