"""Writing that survives a power cut: a name stands for the whole content or for nothing.

Content goes to a temporary name, is flushed to the disk, renamed, and the folder is flushed as well.
"""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["commit", "sync_file", "sync_folder", "write_whole"]


def sync_file(path: Path) -> None:
    """Returns when the file's content is on the disk."""
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(path: Path) -> None:
    """Returns when the folder's names are on the disk."""
    if os.name == "nt":  # a folder cannot be opened there, and its renames are journaled
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def commit(temporary: Path, final: Path) -> None:
    """Give flushed content (a file or a folder) its final name."""
    os.replace(temporary, final)  # noqa: PTH105 (as one call of `os`, like fsync)
    sync_folder(final.parent)


def write_whole(final: Path, content: bytes, temporary: Path) -> None:
    """Write a small file all at once."""
    with open(temporary, "wb") as file:  # noqa: PTH123
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    commit(temporary, final)
