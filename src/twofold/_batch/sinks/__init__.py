"""Sinks: where the rows of a batch run go. One small file per format; the table is in `_batch/formats.py`.

with open_part(path, schema, output_format) as part:      a finished piece in the output's format
    part.write(record_batch)
with open_join(output, schema, output_format) as whole:   one file made of parts, in the order they are added
    whole.add(path)
"""

from __future__ import annotations

from twofold._batch.sinks.base import Joiner, Part, Sink, join, open_join, open_part, writing

__all__ = ["Joiner", "Part", "Sink", "join", "open_join", "open_part", "writing"]
