"""A table of a database: each split is committed in one transaction, and so is the whole at the end.

TABLE                     the output; its rows appear in one transaction, or are added to what has their keys
twofold_runs              a row for each output: the record, what was published, and the lease
twofold_splits            a row for each committed split: its report and its quarantined rows
twofold_parts_…           the rows of the committed splits of one run, until they are published
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twofold._batch.databases import Location, Session, transaction
from twofold._batch.formats import Format
from twofold._batch.stores.aside import Aside
from twofold._batch.stores.lease import LEASE_S, holder, refuse_held, renewing, taken_over
from twofold._batch.stores.sql_table import ROW, SPLIT, check_table, create, published_rows
from twofold._batch.stores.state import StateFolder
from twofold._errors import OutputError

if TYPE_CHECKING:
    import pyarrow as pa

    from twofold._batch.stores.base import Assembly

__all__ = ["SqlStore"]


class SqlStore:
    """`key`: the columns that name a row; rows with the same key are updated. Without one the table is the run's."""

    format = Format("arrow", "", ".arrow")
    header = True
    keeps = True

    def __init__(
        self, location: Location, state: StateFolder, aside: Aside, key: Sequence[str], run: str = "", token: str = ""
    ) -> None:
        self.location = location
        self.state = state
        self.key = tuple(key)
        self._aside = aside
        self._run = run
        self._token = token
        schema = location.table.rpartition(".")[0] if location.kind == "postgres" else ""
        prefix = f"{schema}." if schema else ""
        self._runs, self._splits = f"{prefix}twofold_runs", f"{prefix}twofold_splits"
        digest = hashlib.sha256(f"{location.table} {run}".encode()).hexdigest()
        self._staging = f"{prefix}twofold_parts_{digest[:16]}"
        self._columns: list[str] = []
        self._reports: dict[str, dict[str, Any]] = {}

    @property
    def adds(self) -> bool:
        return bool(self.key)

    @property
    def scratch(self) -> Path:
        return self.state.scratch

    @property
    def spool(self) -> Path:
        return self.state.path / "spool"

    @property
    def log(self) -> Path:
        return self.state.log

    def shown(self) -> str:
        return self.location.shown()

    def quarantine(self) -> str:
        return str(self._aside.path)

    def of_run(self, run: str) -> SqlStore:
        return SqlStore(self.location, self.state, self._aside, self.key, run, self._token)

    def to_json(self) -> dict[str, Any]:
        location = self.location
        return {
            "kind": "sql",
            "location": [location.kind, location.where, location.table],
            "state": str(self.state.path),
            "aside": [str(self._aside.path), str(self._aside.temporary)],
            "key": self.key,
            "run": self._run,
            "token": self._token,
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> SqlStore:
        path, temporary = map(Path, values["aside"])
        location, state = Location(*values["location"]), StateFolder(Path(values["state"]))
        return cls(location, state, Aside(path, temporary), values["key"], values["run"], values["token"])

    @contextmanager
    def hold(self) -> Iterator[Sequence[int]]:
        with self.state.hold(self.shown()) as descriptor:
            self._take()
            try:
                with renewing(self._renew):
                    yield [descriptor]
            finally:
                with suppress(OutputError):
                    self._release()

    def load(self) -> dict[str, Any] | None:
        with transaction(self.location) as session:
            found = self._one(session, "record") if session.columns(self._runs) else None
        return None if found is None else json.loads(found)

    def save(self, record: dict[str, Any]) -> None:
        with transaction(self.location) as session:
            self._refuse_taken_over(session)
            sql = f"UPDATE {session.name(self._runs)} SET record = ? WHERE output = ?"
            session.run(sql, json.dumps(record), self.location.table)
        self.state.save(record)

    def identity(self) -> Any:
        table = self.location.table
        with transaction(self.location) as session:
            if not session.columns(table) or not session.run(f"SELECT 1 FROM {session.name(table)} LIMIT 1"):
                return None
            published = self._one(session, "published") if session.columns(self._runs) else None
        return ["run", published] if published else ["rows"]

    def future_identity(self) -> Any:
        return ["run", self._run]

    def sweep(self, names: Collection[str], schema: pa.Schema) -> None:  # noqa: ARG002
        self.state.sweep()
        self._aside.remove()
        with transaction(self.location) as session:
            self._refuse_taken_over(session)
            there = check_table(session, self.location, schema, self.key)
            self._drop(session, but=self._staging)
            if not session.columns(self._staging):
                create(session, self._staging, schema, there, staging=True)
                session.run(f"INSERT INTO {session.name(self._splits)} VALUES (?, ?, '', '', NULL, '')", *self._mine())

    def committed(self) -> set[str]:
        with transaction(self.location) as session:
            sql = (
                f"SELECT name, report FROM {session.name(self._splits)} WHERE output = ? AND staging = ? AND name <> ''"
            )
            self._reports = {name: json.loads(report) for name, report in session.run(sql, *self._mine())}
        return {*self._reports}

    def report(self, name: str) -> dict[str, Any]:
        if name not in self._reports:
            self.committed()
        return self._reports[name]

    def commit(self, name: str, part: Path, lines: Path | None, report: dict[str, Any]) -> None:
        bad = None if lines is None else lines.read_bytes()
        attempt = uuid.uuid4().hex
        with transaction(self.location) as session:
            self._refuse_taken_over(session)
            splits = session.name(self._splits)
            values = (*self._mine(), name, json.dumps(report), bad, attempt)
            session.run(f"INSERT INTO {splits} VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING", *values)
            where = "output = ? AND staging = ? AND name = ?"
            if session.run(f"SELECT attempt FROM {splits} WHERE {where}", *self._mine(), name) == [(attempt,)]:
                session.insert(self._staging, self._numbered(part, report["index"]))
        for path in (part, lines):
            if path is not None:
                path.unlink()

    def drop_scratch(self) -> None:
        self.state.clear()

    def assembling(self, schema: pa.Schema) -> AbstractContextManager[Assembly]:
        self._columns = schema.names
        self._schema = schema
        return nullcontext(_Nothing())

    def put_aside(self, names: Iterable[str]) -> None:
        with transaction(self.location) as session:
            sql = f"SELECT quarantine FROM {session.name(self._splits)} WHERE output = ? AND staging = ? AND name = ?"
            self._aside.write(bytes(session.run(sql, *self._mine(), name)[0][0]) for name in names)

    def publish(self) -> None:
        """Creates the table where it is not there; with a key, the last row of each is what counts."""
        table = self.location.table
        with transaction(self.location) as session:
            sql = f"UPDATE {session.name(self._runs)} SET published = ? WHERE output = ?"
            session.run(sql, self._run, table)  # nobody can take the lease meanwhile
            self._refuse_taken_over(session)
            if not session.columns(table):
                create(session, table, self._schema, {}, key=self.key)
            elif not self.key:
                session.run(f"DELETE FROM {session.name(table)}")
            session.run(published_rows(session, self._staging, table, self._columns, self.key))

    def clear(self) -> None:
        with transaction(self.location) as session:
            self._drop(session)
        self.state.clear()

    def _mine(self) -> tuple[str, str]:
        return self.location.table, self._staging

    def _drop(self, session: Session, but: str = "") -> None:
        """Drop the rows of the splits of all runs of this output but one."""
        splits = session.name(self._splits)
        for (staging,) in session.run(f"SELECT DISTINCT staging FROM {splits} WHERE output = ?", self.location.table):
            if staging != but:
                session.run(f"DROP TABLE IF EXISTS {session.name(staging)}")
                session.run(f"DELETE FROM {splits} WHERE output = ? AND staging = ?", self.location.table, staging)

    def _one(self, session: Session, column: str) -> Any:
        sql = f"SELECT {column} FROM {session.name(self._runs)} WHERE output = ?"
        found = session.run(sql, self.location.table)
        return found[0][0] if found else None

    def _numbered(self, part: Path, index: int) -> Iterator[pa.RecordBatch]:
        """The batches of a part with the columns that keep the order. OutputError for a row without a key."""
        import pyarrow as pa

        with pa.memory_map(str(part)) as file:
            reader = pa.ipc.open_file(file)
            first = 0
            for at in range(reader.num_record_batches):
                batch = reader.get_batch(at)
                for name in self.key:
                    if batch.column(name).null_count:
                        raise OutputError(
                            f"--key {name}: some rows of split {index} have no value in that column, so they cannot be "
                            f"told apart in {self.shown()!r}. Leave them out of the input, or choose another key."
                        )
                rows = pa.array(range(first, first + batch.num_rows), pa.int64())
                splits = pa.repeat(pa.scalar(index, pa.int64()), batch.num_rows)
                yield batch.append_column(SPLIT, splits).append_column(ROW, rows)
                first += batch.num_rows

    def _take(self) -> None:
        place = self.state.place()
        token = uuid.uuid4().hex
        with transaction(self.location) as session:
            session.prepare()
            runs, splits = session.name(self._runs), session.name(self._splits)
            session.run(
                f"CREATE TABLE IF NOT EXISTS {runs} (output TEXT PRIMARY KEY, record TEXT, published TEXT, token TEXT, "
                "holder TEXT, expires DOUBLE PRECISION)"
            )
            session.run(
                f"CREATE TABLE IF NOT EXISTS {splits} (output TEXT, staging TEXT, name TEXT, report TEXT, "
                f"quarantine {session.binary}, attempt TEXT, PRIMARY KEY (output, staging, name))"
            )
            sql = f"SELECT holder, expires - {session.now} FROM {runs} WHERE output = ? AND token IS NOT NULL"
            for by, seconds_left in session.run(sql, self.location.table):
                refuse_held(json.loads(by), place, seconds_left, self.shown())
            session.run(f"INSERT INTO {runs} (output) VALUES (?) ON CONFLICT DO NOTHING", self.location.table)
            sql = f"UPDATE {runs} SET token = ?, holder = ?, expires = {session.now} + {LEASE_S} WHERE output = ?"
            session.run(sql, token, json.dumps(holder(place)), self.location.table)
        self._token = token

    def _renew(self) -> None:
        with transaction(self.location) as session:
            sql = f"UPDATE {session.name(self._runs)} SET expires = {session.now} + {LEASE_S} WHERE token = ?"
            session.run(sql, self._token)

    def _release(self) -> None:
        with transaction(self.location) as session:
            runs = session.name(self._runs)
            session.run(f"UPDATE {runs} SET token = NULL, holder = NULL WHERE token = ?", self._token)
            session.run(f"DELETE FROM {runs} WHERE output = ? AND record IS NULL", self.location.table)

    def _refuse_taken_over(self, session: Session) -> None:
        if self._one(session, "token") != self._token:
            raise taken_over(self.shown())


class _Nothing:
    """The parts are where they must be."""

    def add(self, name: str) -> None:
        pass
