"""Standard output (`-`): answers leave in order, as splits finish. Nothing is kept, so nothing goes on."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar

from twofold._batch.formats import Format
from twofold._batch.sinks import writing
from twofold._batch.stores.aside import Aside
from twofold._errors import UsageError

if TYPE_CHECKING:
    import pyarrow as pa

    from twofold._batch.stores.base import Assembly

__all__ = ["StdoutStore", "stdout_store"]

FORMATS = {
    "jsonl": Format("jsonl", "", ".jsonl"),
    "csv": Format("csv", "", ".csv"),
    "arrow": Format("arrow_stream", "", ".arrows"),
}
SHOWN = "standard output"


class StdoutStore:
    """Parts lie in a temporary folder until it is their turn."""

    adds: ClassVar[bool] = False
    keeps: ClassVar[bool] = False
    header: ClassVar[bool] = False
    log: ClassVar[None] = None

    def __init__(self, file_format: Format, aside: Aside | None, folder: Path | None = None) -> None:
        self.format = file_format
        self._aside = aside
        self._folder = folder

    @property
    def scratch(self) -> Path:
        assert self._folder is not None
        return self._folder

    @property
    def spool(self) -> Path:
        return self.scratch / "spool"

    def shown(self) -> str:
        return SHOWN

    def quarantine(self) -> str:
        return "" if self._aside is None else str(self._aside.path)

    def of_run(self, run: str) -> StdoutStore:  # noqa: ARG002
        return self

    def to_json(self) -> dict[str, Any]:
        name, compression, suffix = self.format.name, self.format.compression, self.format.suffix
        return {"kind": "stdout", "format": [name, compression, suffix], "folder": str(self._folder)}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> StdoutStore:
        return cls(Format(*values["format"]), None, Path(values["folder"]))

    @contextmanager
    def hold(self) -> Iterator[Sequence[int]]:
        self._folder = Path(tempfile.mkdtemp(prefix="twofold-"))
        try:
            yield []
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    def load(self) -> dict[str, Any] | None:
        return None

    def save(self, record: dict[str, Any]) -> None:
        pass

    def identity(self) -> Any:
        return None

    def sweep(self, names: Collection[str], schema: pa.Schema) -> None:  # noqa: ARG002
        if self._aside is not None:
            self._aside.remove()

    def committed(self) -> set[str]:
        return set()

    def report(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.scratch / f"{name}.json").read_bytes())
        return found

    def commit(self, name: str, part: Path, lines: Path | None, report: dict[str, Any]) -> None:
        with writing(self.scratch):
            if lines is not None:
                lines.replace(self.scratch / f"{name}.bad")
            (self.scratch / f"{name}.json").write_bytes(json.dumps(report).encode())
            part.replace(self.scratch / name)

    def drop_scratch(self) -> None:
        pass  # `hold` takes it away

    @contextmanager
    def assembling(self, schema: pa.Schema) -> Iterator[Assembly]:
        with open(sys.stdout.fileno(), "wb", closefd=False) as output:
            if self.format.name == "arrow_stream":
                with _arrow_stream(output, schema) as add:
                    yield _Leaving(self.scratch, output, add)
                return
            if self.format.name == "csv":
                from twofold._batch.sinks.csv import header_line

                with writing(SHOWN):
                    output.write(header_line(schema))
            yield _Leaving(self.scratch, output, lambda part: _copy(part, output))

    def put_aside(self, names: Iterable[str]) -> None:
        if self._aside is not None:
            self._aside.write((self.scratch / f"{name}.bad").read_bytes() for name in names)

    def future_identity(self) -> Any:
        return SHOWN

    def publish(self) -> None:
        pass  # it has left already

    def clear(self) -> None:
        pass


class _Leaving:
    def __init__(self, folder: Path, output: BinaryIO, add: Callable[[Path], None]) -> None:
        self._folder = folder
        self._output = output
        self._add = add

    def add(self, name: str) -> None:
        part = self._folder / name
        with writing(SHOWN):
            self._add(part)
            self._output.flush()
        part.unlink()


def _copy(part: Path, output: BinaryIO) -> None:
    with part.open("rb") as file:
        shutil.copyfileobj(file, output, 1 << 20)


@contextmanager
def _arrow_stream(output: BinaryIO, schema: pa.Schema) -> Iterator[Callable[[Path], None]]:
    """One stream made of the parts' batches; a dictionary may be another one in each."""
    import pyarrow as pa

    from twofold._batch.sinks.arrow import stored_schema

    with writing(SHOWN):
        writer = pa.ipc.new_stream(output, stored_schema(schema))

    def add(part: Path) -> None:
        with pa.memory_map(str(part)) as file:
            for batch in pa.ipc.open_stream(file):
                writer.write_batch(batch)

    yield add
    with writing(SHOWN):
        writer.close()


def stdout_store(wanted: str | None, aside: Aside | None) -> StdoutStore:
    """UsageError for a format that cannot leave piece by piece."""
    found = FORMATS.get(wanted or "jsonl")
    if found is None:
        raise UsageError(f"--output-format {wanted}: standard output takes {', '.join(FORMATS)}.")
    return StdoutStore(found, aside)
