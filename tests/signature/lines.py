"""Lines of JSON as the batch source decodes them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from twofold._batch.sources.jsonl import records_of
from twofold._batch.sources.streams import Block


def records_of_lines(lines: Sequence[bytes]) -> list[dict]:
    ends = np.cumsum([len(line) + 1 for line in lines])
    starts = np.concatenate([[0], ends[:-1]])
    records, broken = records_of(Block(b"".join(line + b"\n" for line in lines), starts, ends))
    assert not broken
    return records
