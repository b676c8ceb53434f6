"""Where a run that is killed writes to: how to begin from nothing, what can be seen there, and what is left behind."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

__all__ = ["Files", "Objects", "Place", "Table", "child", "fingerprint", "place_of", "value_of"]


def child(work: Callable[[], int]) -> int:
    """The exit code of `work` in a forked process; -9 when it was killed."""
    pid = os.fork()
    if pid == 0:
        try:
            code = work()
        except BaseException:
            traceback.print_exc()
            code = 99
        os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def value_of(work: Callable[[], Any]) -> Any:
    """What `work` gives, as JSON, in a forked process: clients of servers start threads, which no fork takes along."""
    reading, writing = os.pipe()

    def tell() -> int:
        os.write(writing, json.dumps(work()).encode())
        return 0

    assert child(tell) == 0
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        return json.loads(file.read())


def fingerprint(path: Path) -> str:
    """Names and bytes of a file or of all files below a folder; "" for nothing."""
    if path.is_file():
        return hashlib.sha256(path.read_bytes()).hexdigest()
    files = sorted(entry for entry in path.rglob("*") if entry.is_file())
    return " ".join(f"{entry.relative_to(path)}:{fingerprint(entry)}" for entry in files)


class Place(Protocol):
    output: str
    options: dict[str, Any]

    def reset(self) -> None:
        """As before the first start; what `before` says stands there."""

    def seen(self) -> str:
        """What users see of the output; "" for nothing that is complete."""
        ...

    def aside(self) -> str:
        """The quarantine."""
        ...

    def left(self) -> list[str]:
        """What should not be there any more after a run that ended."""
        ...


class Files:
    def __init__(self, folder: Path, name: str) -> None:
        self.output = f"{folder}/{name}"
        self.options: dict[str, Any] = {}
        self._path = folder / name.rstrip("/")
        self._state = folder / f"{self._path.name}.twofold"
        self._before = folder / "before"

    def reset(self) -> None:
        shutil.rmtree(self._state, ignore_errors=True)
        shutil.rmtree(self._path, ignore_errors=True)
        self._path.unlink(missing_ok=True)
        if self._before.is_dir():
            shutil.copytree(self._before, self._path)
        elif self._before.exists():
            shutil.copy2(self._before, self._path)

    def seen(self) -> str:
        return fingerprint(self._path)

    def aside(self) -> str:
        return fingerprint(self._state / "quarantine.jsonl")

    def left(self) -> list[str]:
        return sorted(
            {entry.name for entry in self._state.iterdir()} - {"lock", "log.jsonl", "quarantine.jsonl", "run.json"}
        )


class Table:
    """A table `scores`, with a key where `before` is there."""

    def __init__(self, folder: Path, url: str) -> None:
        self.output = f"{url}table=scores"
        self._url = url
        self._folder = folder
        self._old = (folder / "before").exists()
        self.options: dict[str, Any] = {"quarantine": str(folder / "bad.jsonl"), "state": str(folder / "state")}
        if self._old:
            self.options["key"] = ("id",)

    def _rows(self, sql: str) -> list[Any]:
        from tests.batch.stores.databases import sql as run

        return list(value_of(lambda: [list(row) for row in run(self._url, sql)]))

    def _tables(self) -> list[str]:
        from tests.batch.stores.databases import tables

        return list(value_of(lambda: sorted(tables(self._url))))

    def reset(self) -> None:
        shutil.rmtree(self._folder / "state", ignore_errors=True)
        (self._folder / "bad.jsonl").unlink(missing_ok=True)
        for table in self._tables():
            self._rows(f'DROP TABLE "{table}"')
        if self._old:
            self._rows("CREATE TABLE scores (id TEXT PRIMARY KEY, number BIGINT, prediction TEXT)")
            self._rows("INSERT INTO scores VALUES ('r3', -1, 'old'), ('r5', -1, 'old')")

    def seen(self) -> str:
        if "scores" not in self._tables():
            return ""
        return json.dumps(self._rows("SELECT id, number, prediction FROM scores ORDER BY number, id"))

    def aside(self) -> str:
        return fingerprint(self._folder / "bad.jsonl")

    def left(self) -> list[str]:
        found = set(self._tables()) - {"scores", "twofold_runs", "twofold_splits"}
        found |= {str(row) for row in self._rows("SELECT name FROM twofold_splits")}
        found |= {str(row) for row in self._rows("SELECT token FROM twofold_runs WHERE token IS NOT NULL")}
        [state] = (self._folder / "state").iterdir()
        return sorted(found | ({entry.name for entry in state.iterdir()} - {"lock", "log.jsonl", "run.json"}))


class Objects:
    def __init__(self, folder: Path, url: str) -> None:
        self.output = url
        self.options = {"state": str(folder / "state")}
        self._folder = folder
        self._bucket, _, name = url.rpartition("/") if not url.endswith("/") else url[:-1].rpartition("/")
        self._name = name
        self._is_folder = url.endswith("/")

    def _all(self) -> dict[str, str]:
        def find() -> dict[str, str]:
            import obstore
            from obstore.store import from_url

            store = from_url(self._bucket)
            keys = sorted(found["path"] for page in obstore.list(store) for found in page)
            return {key: hashlib.sha256(bytes(obstore.get(store, key).bytes())).hexdigest() for key in keys}

        found: dict[str, str] = value_of(find)
        return found

    def reset(self) -> None:
        shutil.rmtree(self._folder / "state", ignore_errors=True)
        old = (self._folder / "before").exists()

        def clear() -> None:
            import obstore
            from obstore.store import from_url

            store = from_url(self._bucket)
            for page in obstore.list(store):
                obstore.delete(store, [found["path"] for found in page])
            if old:
                names = [f"{self._name}/{name}" for name in ("old.parquet", "_SUCCESS")]
                for name in names if self._is_folder else [self._name]:
                    obstore.put(store, name, b"old")

        value_of(clear)

    def seen(self) -> str:
        there = self._all()
        if self._is_folder and f"{self._name}/_SUCCESS" not in there:
            return ""
        return json.dumps({key: found for key, found in there.items() if key.partition("/")[0] == self._name})

    def aside(self) -> str:
        return self._all().get(f"{self._name}.twofold/quarantine.jsonl", "")

    def left(self) -> list[str]:
        state = f"{self._name}.twofold/"
        found = {key.removeprefix(state) for key in self._all() if key.startswith(state)}
        return sorted(found - {"quarantine.jsonl", "run.json"})


def place_of(folder: Path, name: str) -> Place:
    if name.startswith("s3://"):
        return Objects(folder, name)
    return Table(folder, name) if "://" in name else Files(folder, name)


def killed(step: Callable[..., Any], due: Callable[[], bool]) -> Callable[..., Any]:
    """The same step, before which the process is killed when it is due."""

    def do(*args: Any, **kwargs: Any) -> Any:
        if due():
            os.kill(os.getpid(), signal.SIGKILL)
        return step(*args, **kwargs)

    return do
