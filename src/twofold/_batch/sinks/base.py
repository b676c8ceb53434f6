"""What every sink gives: parts (finished pieces in its format) and one file joined from parts."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar, cast

from twofold._batch.formats import SINKS, Format
from twofold._errors import OutputError

if TYPE_CHECKING:
    import pyarrow as pa

T = TypeVar("T")

__all__ = ["Joiner", "Part", "Sink", "join", "open_join", "open_part", "writing"]


class Part(Protocol):
    """A part being written."""

    def write(self, batch: pa.RecordBatch) -> None:
        """Append rows; `batch` has the part's schema."""
        ...


class Joiner(Protocol):
    """One file being joined from parts, which can be added as they are finished."""

    def add(self, part: Path) -> None:
        """Append the rows of a part that the same sink wrote with the same schema, and with `header=False`."""
        ...


class Sink(Protocol):
    """One output format. Leaving a `with` normally finishes the file; by an exception leaves it unfinished, closed."""

    def part(
        self, path: Path, schema: pa.Schema, file_format: Format, *, header: bool
    ) -> AbstractContextManager[Part]: ...

    def joined(self, path: Path, schema: pa.Schema, file_format: Format) -> AbstractContextManager[Joiner]: ...


def _sink_for(file_format: Format) -> Sink:
    """The sink that writes this format."""
    return cast("Sink", import_module(SINKS[file_format.name]).SINK)


@contextmanager
def open_part(path: Path, schema: pa.Schema, file_format: Format, *, header: bool = True) -> Iterator[Part]:
    """Write one part. `header=False` leaves out the first line of CSV: for parts that will be joined.

    Without any rows the part is a valid file with the schema. OutputError names a path that cannot be written.
    Not synced to disk: whoever commits the part does that.
    """
    with _guarded(path, _sink_for(file_format).part(path, schema, file_format, header=header)) as part:
        yield _GuardedPart(path, part)


@contextmanager
def open_join(path: Path, schema: pa.Schema, file_format: Format) -> Iterator[Joiner]:
    """Join parts into one file, in the order they are added; without parts it is a valid file with no rows."""
    with _guarded(path, _sink_for(file_format).joined(path, schema, file_format)) as joiner:
        yield _GuardedJoiner(path, joiner)


@contextmanager
def _guarded(path: Path, opened: AbstractContextManager[T]) -> Iterator[T]:
    """Opening and finishing under `writing`, but not what the caller does between them."""
    with writing(path):
        inner = opened.__enter__()
    try:
        yield inner
    except BaseException as error:
        with suppress(Exception):
            opened.__exit__(type(error), error, error.__traceback__)
        raise
    with writing(path):
        opened.__exit__(None, None, None)


@dataclass(frozen=True, slots=True)
class _GuardedPart:
    path: Path
    part: Part

    def write(self, batch: pa.RecordBatch) -> None:
        with writing(self.path):
            self.part.write(batch)


@dataclass(frozen=True, slots=True)
class _GuardedJoiner:
    path: Path
    joiner: Joiner

    def add(self, part: Path) -> None:
        with writing(self.path):
            self.joiner.add(part)


def join(parts: Iterable[Path], path: Path, schema: pa.Schema, file_format: Format) -> None:
    """Join these parts, written with `header=False`, into one file."""
    with open_join(path, schema, file_format) as joiner:
        for part in parts:
            joiner.add(part)


@contextmanager
def writing(path: str | Path) -> Iterator[None]:
    """Turns what the system says about a path that cannot be written into an OutputError naming it."""
    try:
        yield
    except OSError as error:
        number = error.errno or _errno_in(str(error))
        if number in (errno.ENOSPC, errno.EDQUOT):
            why, then = "the disk is full", "Make room and start again: what is committed stays."
        elif number in (errno.EACCES, errno.EPERM, errno.EROFS):
            why, then = "it may not be written", "Check its rights, or choose another output."
        elif number == errno.ENOENT:
            why, then = "its folder is not there", "Make the folder, or choose another output."
        else:
            why, then = str(error), "Check the path and the disk."
        raise OutputError(f"the output {str(path)!r} cannot be written: {why}. {then}", path=str(path)) from error
    except Exception as error:
        if type(error).__module__.partition(".")[0] != "pyarrow":
            raise
        raise OutputError(
            f"the output {str(path)!r} cannot be written: {error}. Leave such columns out with --keep, or choose "
            "another format.",
            path=str(path),
        ) from error


def _errno_in(text: str) -> int:
    """pyarrow gives some errors without a number but with `[errno 28]` in their text."""
    _, _, rest = text.lower().partition("[errno ")
    digits = rest.partition("]")[0]
    return int(digits) if digits.isdigit() else 0
