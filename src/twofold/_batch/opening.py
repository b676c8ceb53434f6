"""Stored bytes, of a local path or of an object's URL: what stands there now, and how it is read."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from twofold._batch.objects import is_object, open_objects, said
from twofold._batch.places import shown
from twofold._errors import InputError, MissingExtra

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "AHEAD_BYTES",
    "LISTING",
    "Identity",
    "asking",
    "identity_of",
    "object_identity",
    "open_input",
    "open_stream",
    "read_all",
]

Identity = list[Any]
"""What tells one state of a file from another, as JSON; its bytes first. Local: [size, mtime in ns]; of an object:
[size, etag]."""

LISTING: Final = "files:"
"""Before a path: not the file itself, but the files that it lists, see `sources/files.py`."""

AHEAD_BYTES: Final = 4 << 20
"""How much of an object is fetched at once at least: a request costs tens of milliseconds."""


def identity_of(path: str) -> Identity:
    """The state of a stored file now. InputError where it is not there any more."""
    if is_object(path):
        import obstore

        with asking(path):
            store, name = open_objects(path)
            return object_identity(obstore.head(store, name))
    try:
        found = os.stat(path.removeprefix(LISTING))  # noqa: PTH116
    except OSError as error:
        raise InputError(
            f"the input {shown(path)!r} cannot be read any more: {error.strerror}.", path=shown(path)
        ) from error
    return [found.st_size, found.st_mtime_ns]


def object_identity(found: Any) -> Identity:
    """Of an object, by what a listing or a request for its head says."""
    return [found["size"], found["e_tag"] or found["last_modified"].isoformat()]


def open_input(path: str, *, mapped: bool = False, ahead: bool = True) -> pa.NativeFile:
    """The bytes of a stored file, to be read at any place; `mapped`: in memory, where it lies on this machine. Of an
    object more is fetched than is asked for, unless `ahead` is false."""
    import pyarrow as pa

    if is_object(path):
        with asking(path):
            found = _Object(path)
            return pa.PythonFile(io.BufferedReader(found, AHEAD_BYTES) if ahead else found, mode="r")
    return pa.memory_map(path) if mapped else pa.OSFile(path)


@contextmanager
def open_stream(path: str, start: int = 0, stop: int | None = None) -> Iterator[io.RawIOBase]:
    """The bytes of a stored file from `start` to `stop`, one after the other."""
    if is_object(path):
        with asking(path):
            yield _Stream(path, start, stop)
        return
    with Path(path).open("rb", buffering=0) as file:
        file.seek(start)
        yield file


def read_all(path: str) -> bytes:
    """All bytes of a small file."""
    if not is_object(path):
        return Path(path).read_bytes()
    import obstore

    with asking(path):
        store, name = open_objects(path)
        return bytes(obstore.get(store, name).bytes())


@contextmanager
def asking(path: str) -> Iterator[None]:
    """Turns what an object store says into an OSError of one line, which names no secrets."""
    try:
        import obstore.exceptions
    except ImportError:
        raise MissingExtra("obstore", "s3", f"The object store of {shown(path)!r}") from None
    try:
        yield
    except FileNotFoundError:
        raise InputError(f"the input {shown(path)!r} is not there. Check its name.", path=shown(path)) from None
    except (obstore.exceptions.BaseError, OSError) as error:
        raise InputError(f"the input {shown(path)!r} cannot be read: {said(error)}.", path=shown(path)) from None


class _Object(io.RawIOBase):
    """An object, read by ranges."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._store, self._name = open_objects(path)
        self._size: int = identity_of(path)[0]
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def readinto(self, buffer: Any) -> int:
        import obstore

        view = memoryview(buffer).cast("B")
        n_bytes = min(len(view), self._size - self._at)
        if n_bytes <= 0:
            return 0
        with asking(self._path):
            view[:n_bytes] = obstore.get_range(self._store, self._name, start=self._at, length=n_bytes)
        self._at += n_bytes
        return n_bytes


class _Stream(io.RawIOBase):
    """A range of an object, read once and forward by one request."""

    def __init__(self, path: str, start: int, stop: int | None) -> None:
        import obstore

        self._path = path
        store, name = open_objects(path)
        bounds: Any = {"offset": start} if stop is None else (start, stop)
        whole = stop is None and start == 0
        found = obstore.get(store, name) if whole else obstore.get(store, name, options={"range": bounds})
        self._chunks = iter(found.stream(min_chunk_size=1 << 20))
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        while not self._rest:
            with asking(self._path):
                chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._rest = memoryview(cast("Any", chunk)).cast("B")
        n_bytes = min(len(view), len(self._rest))
        view[:n_bytes] = self._rest[:n_bytes]
        self._rest = self._rest[n_bytes:]
        return n_bytes
