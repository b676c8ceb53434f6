"""pyarrow is imported without pandas, and knows it as soon as it is there."""

from __future__ import annotations

import subprocess
import sys

import pytest

CHECK = """
import sys
from twofold._light import import_pyarrow
import_pyarrow()
import pyarrow as pa
pa.array([1, 2]).to_numpy()
assert "pandas" not in sys.modules
import pandas as pd
assert pa.array(pd.Series([1.0, None])).null_count == 1
assert pa.array(pd.Series([1, None], dtype="Int64")).type == pa.int64()
assert pa.table({"a": [1]}).to_pandas().a.tolist() == [1]
import_pyarrow()
"""


def test_pandas_is_imported_only_when_asked_for_and_then_known():
    pytest.importorskip("pandas")
    subprocess.run([sys.executable, "-W", "error", "-c", CHECK], check=True)
