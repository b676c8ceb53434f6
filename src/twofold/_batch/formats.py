"""Which file format a path names, by its suffix: one table for what is read and what is written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from twofold._errors import UsageError

__all__ = ["FORMATS", "JSON_MARK", "SINKS", "SOURCES", "Format", "find_format", "format_of"]

FORMATS: Final[dict[str, str]] = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".csv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".ipc": "arrow",
    ".arrows": "arrow_stream",
}
"""Suffix -> format. `.csv`, `.jsonl` and `.ndjson` may be followed by a compression."""

COMPRESSIONS: Final[dict[str, str]] = {".gz": "gzip", ".zst": "zstd"}
"""Suffix -> pyarrow's name of the codec."""

SOURCES: Final[dict[str, str]] = {
    "parquet": "twofold._batch.sources.parquet",
    "csv": "twofold._batch.sources.csv",
    "jsonl": "twofold._batch.sources.jsonl",
    "arrow": "twofold._batch.sources.arrow",
    "arrow_stream": "twofold._batch.sources.arrow",
    "files": "twofold._batch.sources.files",
}
SINKS: Final[dict[str, str]] = {
    "parquet": "twofold._batch.sinks.parquet",
    "csv": "twofold._batch.sinks.csv",
    "jsonl": "twofold._batch.sinks.jsonl",
    "arrow": "twofold._batch.sinks.arrow",
    "arrow_stream": "twofold._batch.sinks.arrow",
}
"""Format -> module. Each module has a `SOURCE` or a `SINK`; none is imported before it is used."""


JSON_MARK: Final = b"twofold:json"
"""Key in the metadata of a string field whose values are JSON text: JSONL output writes it as it is."""


@dataclass(frozen=True, slots=True)
class Format:
    """A file format: its name, the codec around it ("" for none) and the suffix that names both."""

    name: str
    compression: str = ""
    suffix: str = ""

    def __str__(self) -> str:
        return self.suffix


def find_format(path: str | Path) -> Format | None:
    """The format that the path's suffix names, or None."""
    suffixes = [suffix.lower() for suffix in Path(path).suffixes[-2:]]
    if not suffixes:
        return None
    name = FORMATS.get(suffixes[-1])
    if name is not None:
        return Format(name, "", suffixes[-1])
    compression = COMPRESSIONS.get(suffixes[-1])
    if compression is not None and len(suffixes) == 2 and FORMATS.get(suffixes[0]) in ("csv", "jsonl"):
        return Format(FORMATS[suffixes[0]], compression, "".join(suffixes))
    return None


def format_of(path: str | Path) -> Format:
    """The format that the path's suffix names; UsageError when it names none."""
    found = find_format(path)
    if found is None:
        raise UsageError(
            f"the name {str(path)!r} does not say which format it is. Use one of the endings "
            f"{', '.join(FORMATS)}; .csv, .jsonl and .ndjson may be followed by .gz or .zst.",
            path=str(path),
        )
    return found
