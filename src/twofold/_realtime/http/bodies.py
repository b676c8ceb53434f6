"""Request bodies of the app: read, and unpacked, within the limit."""

from __future__ import annotations

import asyncio

from starlette.requests import Request

from twofold._realtime.http.compressed import coding_of, unpacked
from twofold._realtime.http.problems import MAX_ROWS, Refusal

__all__ = ["read_content", "too_large", "too_many_rows"]


async def read_content(request: Request, max_body_bytes: int) -> bytes:
    """The body of a request, unpacked. Raises Refusal."""
    coding = coding_of(request.headers.get("content-encoding"))
    body = await _read_body(request, max_body_bytes)
    if coding is None:
        return body
    # in a thread: how much comes out of it cannot be told
    content = await asyncio.to_thread(unpacked, body, coding, max_body_bytes)
    if content is None:
        raise too_large(max_body_bytes, f" when it is unpacked from {coding}")
    return content


async def _read_body(request: Request, max_body_bytes: int) -> bytes:
    """The body. Raises Refusal (413) as soon as it is too large."""
    length = request.headers.get("content-length", "0")
    if length.isdecimal() and int(length) > max_body_bytes:
        raise too_large(max_body_bytes)
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > max_body_bytes:
            raise too_large(max_body_bytes)
        chunks.append(chunk)
    return b"".join(chunks)


def too_large(max_body_bytes: int, otherwise: str = "") -> Refusal:
    size = f"{max_body_bytes >> 20} MiB" if max_body_bytes % (1 << 20) == 0 else f"{max_body_bytes} bytes"
    return Refusal(
        "body_too_large",
        f"The body is larger than {size}{otherwise}. Send fewer rows at once, or start the server with a larger "
        "--max-body.",
    )


def too_many_rows() -> Refusal:
    return Refusal(
        "body_too_large",
        f"The body has more than {MAX_ROWS:,} rows. Send fewer at once; `twofold batch` is for more.",
    )
