"""A finite value beyond its width is refused on every road, never turned into infinity."""

import json

import pyarrow as pa
import pytest

from twofold._errors import ModelError, RowsDoNotFit
from twofold._signature import Field, Float, Signature, Tensor


@pytest.mark.parametrize(("bits", "value"), [(32, 1e39), (16, 70000.0)])
@pytest.mark.parametrize("shape", [(), (2,), (2, 2)])
@pytest.mark.parametrize("n_fields", [1, 3])
def test_refused(bits, value, shape, n_fields):
    kind = Tensor(Float(bits), shape) if shape else Float(bits)
    fields = tuple(Field(f"f{at}", kind) for at in range(n_fields))
    cell = value
    for length in reversed(shape):
        cell = [cell] * length
    signature = Signature(fields, fields)
    row = {field.name: cell for field in fields}
    with pytest.raises(RowsDoNotFit, match="out of the range"):
        signature.decode_row(json.dumps(row).encode())
    with pytest.raises(RowsDoNotFit, match="out of the range"):
        signature.row(row)
    with pytest.raises(ModelError):
        signature.result_row(tuple(row.values()))
    assert signature.read_arrow({name: pa.array([c]) for name, c in row.items()}, 1).misfits
    assert signature.read_text({name: pa.array([json.dumps(c)]) for name, c in row.items()}, 1).misfits
