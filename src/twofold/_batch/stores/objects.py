"""An object store: s3://, gs:// or az://.

x.parquet            out/part-….parquet, out/_SUCCESS    the output: one object, or parts and then an empty object
x.parquet.twofold/   out.twofold/                        the state
    lease                                                held while a run works
    run.json                                             see `record`
    RUN/parts/, RUN/splits/                              what is committed of the run with this fingerprint
    quarantine.jsonl                                     all quarantined rows, when the run is done
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from twofold._batch.formats import Format
from twofold._batch.objects import open_objects, said, version_of
from twofold._batch.sinks import open_part, writing
from twofold._batch.stores.aside import Aside
from twofold._batch.stores.joined import joined_file
from twofold._batch.stores.object_lease import ObjectLease
from twofold._batch.stores.state import StateFolder
from twofold._errors import OutputError, OverwriteRefused

if TYPE_CHECKING:
    import pyarrow as pa

    from twofold._batch.stores.base import Assembly

__all__ = ["ObjectsStore"]

RUN = "twofoldrun"
"""The attribute of a published object that says which run made it."""
DONE = "_SUCCESS"
AT_ONCE = 8
CONDITIONAL_BYTES = 64 << 20
"""An object up to this size appears only if nobody was faster; a larger one goes up in pieces, which cannot be so."""
KEPT = ("run.json", "lease", "clock", "quarantine.jsonl")


class ObjectsStore:
    """One object, or a folder of them."""

    adds: ClassVar[bool] = False
    keeps: ClassVar[bool] = True

    def __init__(
        self, url: str, is_folder: bool, file_format: Format, state: StateFolder, aside: Aside | None, run: str = ""
    ) -> None:
        self.url = url.rstrip("/")
        self.is_folder = is_folder
        self.format = file_format
        self.state = state
        self._aside = aside
        self._run = run
        self._bucket, self._name = open_objects(self.url)
        self._state = f"{self._name}.twofold"
        self._mine = f"{self._state}/{run[:16]}"
        self._names: list[str] = []
        self._reports: dict[str, dict[str, Any]] = {}
        self._lease: ObjectLease | None = None

    @property
    def header(self) -> bool:
        return self.is_folder

    @property
    def scratch(self) -> Path:
        return self.state.scratch

    @property
    def spool(self) -> Path:
        return self.state.path / "spool"

    @property
    def _whole(self) -> Path:
        return self.scratch / f"joined{self.format.suffix}"

    @property
    def log(self) -> Path:
        return self.state.log

    def shown(self) -> str:
        return f"{self.url}/" if self.is_folder else self.url

    def quarantine(self) -> str:
        return str(self._aside.path) if self._aside is not None else f"{self.url}.twofold/quarantine.jsonl"

    def of_run(self, run: str) -> ObjectsStore:
        store = ObjectsStore(self.url, self.is_folder, self.format, self.state, self._aside, run)
        store._lease = self._lease
        return store

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": "objects",
            "url": self.url,
            "is_folder": self.is_folder,
            "format": [self.format.name, self.format.compression, self.format.suffix],
            "state": str(self.state.path),
            "run": self._run,
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> ObjectsStore:
        state = StateFolder(Path(values["state"]))
        return cls(values["url"], values["is_folder"], Format(*values["format"]), state, None, values["run"])

    @contextmanager
    def hold(self) -> Iterator[Sequence[int]]:
        with self.state.hold(self.shown()) as descriptor:
            lease = self._lease = ObjectLease(self._bucket, self._state, self.state.place(), self.shown())
            with self._asking():
                held = lease.held()
                held.__enter__()
            try:
                yield [descriptor]
            finally:
                held.__exit__(None, None, None)

    def load(self) -> dict[str, Any] | None:
        found = self._read(f"{self._state}/run.json")
        if found is not None:
            record: dict[str, Any] = json.loads(found)
            return record
        foreign = sorted(key.removeprefix(f"{self._state}/") for key in self._list(f"{self._state}/"))
        foreign = [name for name in foreign if name not in KEPT]
        if foreign:
            raise OverwriteRefused(
                f"'{self.url}.twofold/' is where this run would keep its state, and there is something else in it "
                f"({foreign[0]}). Move it away, or choose another OUTPUT."
            )
        return None

    def save(self, record: dict[str, Any]) -> None:
        self._put(f"{self._state}/run.json", json.dumps(record).encode())
        self.state.save(record)

    def identity(self) -> Any:
        if not self.is_folder:
            return self._identity_of(self._name)
        there = self._list(f"{self._name}/")
        done = self._identity_of(f"{self._name}/{DONE}")
        if done is not None and done[0] == "run":
            return ["run", done[1], len(there)]
        publishing = json.loads(self._read(f"{self._state}/run.json") or b"{}")
        if not there or (publishing.get("published") is not None and publishing.get("finished") is None):
            return None  # or what a run that was killed had begun to put there
        return sorted([key, *found] for key, found in there.items())

    def future_identity(self) -> Any:
        if self.is_folder:
            return ["run", self._run, len(self._names) + 1]
        return ["run", self._run, self._whole.stat().st_size]

    def sweep(self, names: Collection[str], schema: pa.Schema) -> None:  # noqa: ARG002
        self.state.sweep()
        mine = f"{self._mine}/"
        self._delete(
            key
            for key in self._list(f"{self._state}/")
            if not key.startswith(mine) and key.removeprefix(f"{self._state}/") not in KEPT[:-1]
        )
        if self._aside is not None:
            self._aside.remove()

    def committed(self) -> set[str]:
        prefix = f"{self._mine}/parts/"
        return {key.removeprefix(prefix) for key in self._list(prefix)}

    def report(self, name: str) -> dict[str, Any]:
        """All of them are read at the first one's turn, several at once."""

        def read(other: str) -> dict[str, Any]:
            found: dict[str, Any] = json.loads(self._read(self._split(other, "json")) or b"{}")
            return found

        if name not in self._reports:
            names = sorted(self.committed())
            with ThreadPoolExecutor(AT_ONCE, "reports") as threads:
                self._reports = dict(zip(names, threads.map(read, names), strict=True))
        return self._reports[name]

    def commit(self, name: str, part: Path, lines: Path | None, report: dict[str, Any]) -> None:
        if lines is not None:
            self._put(self._split(name, "jsonl"), lines)
            lines.unlink()
        self._put(self._split(name, "json"), json.dumps(report).encode())
        self._put(self._part(name), part)
        part.unlink()

    def drop_scratch(self) -> None:
        self.state.clear()

    @contextmanager
    def assembling(self, schema: pa.Schema) -> Iterator[Assembly]:
        if not self.is_folder:
            with joined_file(self._whole, schema, self.format, self._fetch) as assembly:
                yield assembly
            return
        yield _Folder(self._names)
        if not self._names:  # a folder of nothing would have no schema
            empty = self.scratch / f"part-000000{self.format.suffix}"
            with open_part(empty, schema, self.format):
                pass
            self._put(self._part(empty.name), empty)
            self._names.append(empty.name)

    def put_aside(self, names: Iterable[str]) -> None:
        pieces = (self._read(self._split(name, "jsonl")) or b"" for name in names)
        if self._aside is not None:
            self._aside.write(pieces)
            return
        whole = self.scratch / "quarantine.jsonl"
        with writing(whole), whole.open("wb") as file:
            file.writelines(pieces)
        if whole.stat().st_size:
            self._put(f"{self._state}/{whole.name}", whole)

    def publish(self) -> None:
        assert self._lease is not None
        with self._asking():
            self._lease.renew()  # nobody has taken over
        if self.is_folder:
            self._publish_folder()
            return
        stands = self._version_of(self._name)
        small = self._whole.stat().st_size <= CONDITIONAL_BYTES
        try:
            self._put(
                self._name, self._whole, mode=(stands or "create") if small else None, attributes={RUN: self._run}
            )
        except OverwriteRefused:
            if self.identity() != self.future_identity():  # else only the answer to an earlier try was lost
                raise

    def _publish_folder(self) -> None:
        import obstore

        wanted = {f"{self._name}/{name}" for name in self._names}
        self._delete([f"{self._name}/{DONE}"])
        self._delete(key for key in self._list(f"{self._name}/") if key not in wanted)

        def copy(name: str) -> None:
            with self._asking():
                obstore.copy(self._bucket, self._part(name), f"{self._name}/{name}")

        with ThreadPoolExecutor(AT_ONCE, "publishing") as threads:
            list(threads.map(copy, self._names))
        self._put(f"{self._name}/{DONE}", b"", attributes={RUN: self._run})

    def clear(self) -> None:
        keys = self._list(f"{self._state}/")
        self._delete(key for key in keys if key.removeprefix(f"{self._state}/") not in KEPT)
        self.state.clear()

    def _part(self, name: str) -> str:
        return f"{self._mine}/parts/{name}"

    def _split(self, name: str, suffix: str) -> str:
        return f"{self._mine}/splits/{name.partition('.')[0]}.{suffix}"

    def _fetch(self, name: str) -> Path:
        """A part on this machine. An Arrow file is joined when all are there; others are not needed any more then."""
        import obstore

        folder = self.scratch / "fetched"
        if self.format.name not in ("arrow", "arrow_stream"):
            shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(exist_ok=True)
        path = folder / name
        with self._asking(), path.open("wb") as file:
            for piece in obstore.get(self._bucket, self._part(name)):
                file.write(piece)
        return path

    def _identity_of(self, key: str) -> Any:
        import obstore

        with self._asking():
            try:
                found = obstore.get(self._bucket, key)
            except FileNotFoundError:
                return None
        if RUN in found.attributes:
            return ["run", found.attributes[RUN], found.meta["size"]]
        return [key, found.meta["size"], found.meta["e_tag"]]

    def _version_of(self, key: str) -> Any:
        import obstore

        with self._asking():
            try:
                found = obstore.head(self._bucket, key)
            except FileNotFoundError:
                return None
        return version_of(found)

    def _read(self, key: str) -> bytes | None:
        import obstore

        with self._asking():
            try:
                return bytes(obstore.get(self._bucket, key).bytes())
            except FileNotFoundError:
                return None

    def _list(self, prefix: str) -> dict[str, list[Any]]:
        """Key -> size and etag of all objects below a folder."""
        import obstore

        with self._asking():
            pages = list(obstore.list(self._bucket, prefix.rstrip("/")))
        return {found["path"]: [found["size"], found["e_tag"]] for page in pages for found in page}

    def _put(self, key: str, content: bytes | Path, *, mode: Any = None, attributes: Any = None) -> None:
        import obstore

        with self._asking():
            obstore.put(self._bucket, key, content, mode=mode, attributes=attributes)

    def _delete(self, keys: Iterable[str]) -> None:
        import obstore

        for key in list(keys):
            with self._asking():
                try:
                    obstore.delete(self._bucket, key)
                except FileNotFoundError:
                    pass

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """Turns what the store says into errors of ours."""
        from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError

        try:
            yield
        except (AlreadyExistsError, PreconditionError):
            raise OverwriteRefused(
                f"{self.shown()!r} was written by something else while this run worked. Move it away and start the "
                "same command again: everything is computed, only the result is to be put there."
            ) from None
        except BaseError as error:
            raise OutputError(
                f"the output {self.shown()!r} cannot be written: {said(error)}. What is committed stays: start again "
                "when that is mended."
            ) from None


class _Folder:
    def __init__(self, names: list[str]) -> None:
        self._names = names

    def add(self, name: str) -> None:
        self._names.append(name)
