"""Files of this machine, or of a file system that all machines share.

x.parquet            out/                the output; appears by one rename
x.parquet.twofold/   out.twofold/        the state
    lock                                 held while a run works
    run.json                             see `record`
    log.jsonl                            what happened, for people; see `events`
    parts/                               committed parts, in the output's format; nothing else is ever in here
    splits/                              for each part: its report and its quarantined rows, committed before it
    tmp/                                 what is being written
    quarantine.jsonl                     all quarantined rows, when the run is done
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from twofold._batch.durable import commit, sync_file, sync_folder, write_whole
from twofold._batch.events import LOG
from twofold._batch.formats import Format, find_format, format_of
from twofold._batch.sinks import open_part, writing
from twofold._batch.stores.aside import Aside
from twofold._batch.stores.joined import joined_file
from twofold._batch.stores.locks import LOCK, locked
from twofold._errors import OutputError, OverwriteRefused, UsageError

if TYPE_CHECKING:
    import pyarrow as pa

    from twofold._batch.stores.base import Assembly

__all__ = ["LocalStore", "local_store", "refuse_overlap"]

FOLDER_FORMAT = Format("parquet", "", ".parquet")


@dataclass(frozen=True)
class LocalStore:
    """A file, or a folder of parts."""

    path: Path
    is_folder: bool
    format: Format
    aside: Aside | None = None
    """Where the user wants the failing rows; None: in the state."""

    adds: ClassVar[bool] = False
    keeps: ClassVar[bool] = True

    @property
    def header(self) -> bool:
        return self.is_folder

    @property
    def state(self) -> Path:
        return self.path.with_name(self.path.name + ".twofold")

    @property
    def parts(self) -> Path:
        return self.state / "parts"

    @property
    def splits(self) -> Path:
        return self.state / "splits"

    @property
    def scratch(self) -> Path:
        return self.state / "tmp"

    @property
    def spool(self) -> Path:
        return self.state / "spool"

    @property
    def log(self) -> Path:
        return self.state / LOG

    @property
    def _aside(self) -> Aside:
        name = "quarantine.jsonl"
        return self.aside or Aside(self.state / name, self.scratch / name)

    @property
    def _whole(self) -> Path:
        """What is to get the output's name."""
        return self.parts if self.is_folder else self.scratch / f"joined{self.format.suffix}"

    def shown(self) -> str:
        return f"{self.path}{os.sep}" if self.is_folder else str(self.path)

    def quarantine(self) -> str:
        return str(self._aside.path)

    def of_run(self, run: str) -> LocalStore:  # noqa: ARG002 (the parts' names say it, and no writer outlives the lock)
        return self

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": "local",
            "path": str(self.path),
            "is_folder": self.is_folder,
            "format": [self.format.name, self.format.compression, self.format.suffix],
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> LocalStore:
        return cls(Path(values["path"]), values["is_folder"], Format(*values["format"]))

    @contextmanager
    def hold(self) -> Iterator[Sequence[int]]:
        with locked(self.state, self.shown()) as descriptor:
            yield [descriptor]

    def load(self) -> dict[str, Any] | None:
        path = self.state / "run.json"
        try:
            found: dict[str, Any] = json.loads(path.read_bytes())
            return found
        except FileNotFoundError:
            foreign = _foreign(self.state)
            if foreign:
                raise OverwriteRefused(
                    f"{str(self.state)!r} is where this run would keep its state, and there is something else in it "
                    f"({foreign[0]}). Move it away, or choose another OUTPUT."
                ) from None
            return None
        except ValueError as error:
            raise OutputError(
                f"{str(path)!r} is not the record of a run ({error}). Remove {str(self.state)!r} to start from the "
                "beginning."
            ) from error

    def save(self, record: dict[str, Any]) -> None:
        with writing(self.state):
            self.scratch.mkdir(exist_ok=True)
            write_whole(self.state / "run.json", json.dumps(record).encode(), self.scratch / "run.json")

    def identity(self) -> Any:
        return _identity(self.path)

    def sweep(self, names: Collection[str], schema: pa.Schema) -> None:  # noqa: ARG002
        with writing(self.state):
            shutil.rmtree(self.scratch, ignore_errors=True)
            for folder in (self.scratch, self.parts, self.splits):
                folder.mkdir(parents=True, exist_ok=True)
            self._aside.remove()
            stems = {_stem(name) for name in names}
            for entry in self.splits.iterdir():
                if entry.stem not in stems:
                    entry.unlink()
            for entry in self.parts.iterdir():
                if entry.name not in names:
                    entry.unlink()
            sync_folder(self.state)

    def committed(self) -> set[str]:
        with writing(self.parts):
            return {entry.name for entry in self.parts.iterdir()}

    def report(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.splits / f"{_stem(name)}.json").read_bytes())
        return found

    def commit(self, name: str, part: Path, lines: Path | None, report: dict[str, Any]) -> None:
        with writing(self.parts / name):
            sync_file(part)
            if lines is not None:
                sync_file(lines)
                os.replace(lines, self._lines(name))  # noqa: PTH105 (its folder is flushed with the report)
            note = part.with_name(f"{part.name}.json")
            write_whole(self.splits / f"{_stem(name)}.json", json.dumps(report).encode(), note)
            commit(part, self.parts / name)

    def drop_scratch(self) -> None:
        shutil.rmtree(self.scratch, ignore_errors=True)

    def assembling(self, schema: pa.Schema) -> AbstractContextManager[Assembly]:
        if self.is_folder:
            return self._folder(schema)
        return joined_file(self._whole, schema, self.format, lambda name: self.parts / name)

    @contextmanager
    def _folder(self, schema: pa.Schema) -> Iterator[Assembly]:
        added: list[str] = []
        yield _Folder(added)
        with writing(self.path):
            if not added:  # a folder of nothing would have no schema
                empty = self.scratch / f"part-000000{self.format.suffix}"
                with open_part(empty, schema, self.format):
                    pass
                sync_file(empty)
                commit(empty, self.parts / empty.name)
            sync_folder(self.parts)

    def put_aside(self, names: Iterable[str]) -> None:
        self._aside.write(self._lines(name).read_bytes() for name in names)

    def future_identity(self) -> Any:
        found = _identity(self._whole)
        return found if self.is_folder else [self.path.name, *found[1:]]

    def publish(self) -> None:
        with writing(self.path):
            replaced = self.state / "replaced"
            if self.is_folder and self.path.exists():
                shutil.rmtree(replaced, ignore_errors=True)
                commit(self.path, replaced)
            commit(self._whole, self.path)
            if self.is_folder:
                sync_folder(self.state)
                shutil.rmtree(replaced, ignore_errors=True)

    def clear(self) -> None:
        for folder in (self.parts, self.splits, self.scratch, self.state / "replaced"):
            shutil.rmtree(folder, ignore_errors=True)

    def _lines(self, name: str) -> Path:
        return self.splits / f"{_stem(name)}.jsonl"


@dataclass(frozen=True)
class _Folder:
    added: list[str]

    def add(self, name: str) -> None:
        self.added.append(name)


def _stem(name: str) -> str:
    return name.partition(".")[0]


def _identity(path: Path) -> Any:
    try:
        if path.is_dir():
            return sorted(_file_identity(entry.name, entry.stat()) for entry in os.scandir(path))
        return _file_identity(path.name, path.stat())
    except FileNotFoundError:
        return None


def _file_identity(name: str, stat: os.stat_result) -> list[Any]:
    return [name, stat.st_size, stat.st_mtime_ns]


def _foreign(state: Path) -> list[str]:
    """What lies in a folder without a `run.json` that no run put there: it began with a lock and a temporary file."""
    if not state.is_dir():
        return []
    there = {entry.name for entry in state.iterdir()} - {LOCK, "spool"}
    if there == {"tmp"} and {entry.name for entry in (state / "tmp").iterdir()} <= {"run.json"}:
        return []
    return sorted(there)


def local_store(output: str, aside: Aside | None = None) -> LocalStore:
    """The output that a path names: one file by its suffix; a folder where the name ends with / or has no suffix."""
    path = Path(os.path.abspath(output))  # noqa: PTH100 (no links followed: the state stands beside the name given)
    names_folder = output.endswith(("/", os.sep)) or not path.suffix or (path.is_dir() and find_format(path) is None)
    if names_folder:
        if path.exists() and not path.is_dir():
            raise UsageError(f"the output {output!r} names a folder, and there is a file of that name. Choose another.")
        return LocalStore(path, True, FOLDER_FORMAT, aside)
    if path.is_dir():
        raise UsageError(f"the output {output!r} is a folder. End its name with / for a folder of parts.")
    return LocalStore(path, False, format_of(path), aside)


def refuse_overlap(store: LocalStore, inputs: list[Path], given: str) -> None:
    """UsageError where the run would read what it writes."""
    target = store.path.resolve()
    state = store.state.resolve()
    for path in inputs:
        found = path.resolve()
        same = store.path.exists() and path.samefile(store.path)
        if same or found == target or target in found.parents:
            raise UsageError(
                f"the output {store.shown()!r} is the input {str(path)!r} itself, or its folder. Choose another OUTPUT."
            )
        if state in found.parents:
            raise UsageError(
                f"the input {str(path)!r} lies in {str(store.state)!r}, which this run would replace. "
                "Choose another OUTPUT."
            )
    pattern = os.path.abspath(given)  # noqa: PTH100 (a glob, perhaps)
    if (Path(given).is_dir() and Path(given).resolve() in target.parents) or target.match(pattern):
        raise UsageError(
            f"the output {store.shown()!r} would itself be a part of the input {given!r}. Choose an OUTPUT elsewhere."
        )
