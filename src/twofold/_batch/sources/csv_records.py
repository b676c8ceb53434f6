"""One CSV record taken apart by hand: for the records that pyarrow's reader would drop, or read in another way."""

from __future__ import annotations

from twofold._batch.sources.records import closing_quote

__all__ = ["cells_of", "text_of"]


def text_of(record: bytes) -> str:
    """The record as text, without its line end; bytes that are not UTF-8 as `\\xff`."""
    return _without_line_end(record).decode("utf-8", "backslashreplace")


def cells_of(record: bytes) -> tuple[list[str | None] | None, str]:
    """The cells of a record (None: empty without quotes), or None and why it cannot be cut into cells."""
    record = _without_line_end(record)
    cells: list[str | None] = []
    at = 0
    while True:
        quoted = record[at : at + 1] == b'"'
        if quoted:
            closing = closing_quote(record, at)
            if closing < 0:
                return None, f"the quote that opens cell {len(cells) + 1} is never closed"
            content, end = record[at + 1 : closing].replace(b'""', b'"'), closing + 1
            if end < len(record) and record[end : end + 1] != b",":
                return None, f"there is text after the closing quote of cell {len(cells) + 1}"
        else:
            end = record.find(b",", at)
            end = end if end >= 0 else len(record)
            content = record[at:end]
        try:
            cells.append(content.decode("utf-8") if content or quoted else None)
        except UnicodeDecodeError:
            return None, f"the text of cell {len(cells) + 1} is not UTF-8"
        if end >= len(record):
            return cells, ""
        at = end + 1


def _without_line_end(record: bytes) -> bytes:
    if record.endswith(b"\r\n"):
        return record[:-2]
    return record[:-1] if record.endswith(b"\n") else record
