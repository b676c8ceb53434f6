"""Content codings: gzip and zstd, unpacked in steps and never beyond a limit."""

from __future__ import annotations

from typing import Final

from twofold._realtime.http.media import Coding
from twofold._realtime.http.problems import Refusal

__all__ = ["CODINGS", "coding_of", "packed", "unpacked"]

CODINGS: Final[tuple[Coding, ...]] = ("gzip", "zstd")
STEP_BYTES: Final = 1 << 18
LEVEL: Final = 1  # a server's time is worth more than the last bytes


def coding_of(header: str | None) -> Coding | None:
    """What the header Content-Encoding says. Raises Refusal (415) for anything but gzip, zstd and nothing."""
    named = (header or "identity").strip().lower()
    if named in ("", "identity"):
        return None
    if named == "x-gzip":
        return "gzip"
    for coding in CODINGS:
        if named == coding:
            return coding
    raise Refusal(
        "unsupported_media_type",
        f"The content-encoding may be gzip or zstd, not {named[:100]!r}.",
        headers=((b"accept-encoding", b"gzip, zstd"),),
    )


def unpacked(body: bytes, coding: Coding, limit: int) -> bytes | None:
    """The content; None as soon as it is larger than `limit` bytes. Raises Refusal (400) for what is broken."""
    import pyarrow as pa

    pieces: list[pa.Buffer] = []
    size = 0
    try:
        with pa.CompressedInputStream(pa.BufferReader(body), coding) as stream:
            while (piece := stream.read_buffer(STEP_BYTES)).size:  # `read` loses its memory where it fails
                size += piece.size
                if size > limit:
                    return None
                pieces.append(piece)
    except OSError as error:
        raise Refusal("bad_body", f"The body is not {coding}: {str(error)[:100]}.") from None
    if not body:
        raise Refusal("bad_body", f"The body is not {coding}: it is empty.")
    return b"".join(pieces)


def packed(body: bytes, coding: Coding) -> bytes:
    import pyarrow as pa

    found: bytes = pa.Codec(coding, compression_level=LEVEL).compress(body, asbytes=True)
    return found
