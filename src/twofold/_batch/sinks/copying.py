"""Bytes from file to file, by the kernel where it can."""

from __future__ import annotations

import os
from typing import BinaryIO

__all__ = ["copy_bytes"]

CHUNK_BYTES = 1 << 20
CHUNK_BY_KERNEL_BYTES = 64 << 20


def copy_bytes(source: BinaryIO, start: int, n_bytes: int, target: BinaryIO) -> None:
    """Append `n_bytes` of `source`, from `start` on, to the end of `target`. EOFError when they are not there."""
    target.flush()
    copied = _copy_by_kernel(source.fileno(), start, n_bytes, target.fileno())
    target.seek(0, os.SEEK_END)
    source.seek(start + copied)
    left = n_bytes - copied
    while left:
        chunk = source.read(min(CHUNK_BYTES, left))
        if not chunk:
            raise EOFError(f"{left} of {n_bytes} bytes are missing")
        target.write(chunk)
        left -= len(chunk)


def _copy_by_kernel(source: int, start: int, n_bytes: int, target: int) -> int:
    """How many bytes were copied without passing through this process: none where the system cannot."""
    copy = getattr(os, "copy_file_range", None)
    if copy is None:
        return 0
    copied = 0
    while copied < n_bytes:
        try:
            count: int = copy(source, target, min(CHUNK_BY_KERNEL_BYTES, n_bytes - copied), start + copied)
        except OSError:
            # Another file system, an old kernel, or a real fault: the plain copy goes on from here and meets it again.
            return copied
        if count == 0:
            return copied
        copied += count
    return copied
