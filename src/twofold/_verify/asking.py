"""A model that rows are asked of, in calls of a chosen shape: in this process, or in one of its own."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from twofold._compare.hosting import Host, hosting
from twofold._runner import Runner

if TYPE_CHECKING:
    from twofold._columns import Batch
    from twofold._model import Model
    from twofold._signature import Signature
    from twofold._supervisor import Message

__all__ = ["Answer", "Calls", "Here", "Hosted", "Row", "Subject", "hosted", "in_calls", "median_s", "rows_at"]

Row = tuple[Any, ...]
Calls = Sequence[Sequence[int]]
"""The rows of each call, by their places in the table, from 0."""

VERIFY_HOST = "twofold._verify.host"
TIMED_S = 0.3
TIMED_CALLS = 25


class Answer(NamedTuple):
    """What became of a row: the JSON of its answer, or the code of why it has none."""

    encoded: bytes
    error: str = ""


class Subject(Protocol):
    """A loaded model and a table of typed rows."""

    @property
    def signature(self) -> Signature: ...

    def ask(self, calls: Calls) -> list[list[Answer]]:
        """Make these calls, in order: for each the answers of its rows."""
        ...

    def ask_alone(self, rows: Sequence[Row]) -> list[Answer]:
        """Ask other rows, each in a call of its own."""
        ...

    def seconds(self, sizes: Sequence[int]) -> dict[int, float]:
        """What a call with so many rows takes: the median."""
        ...

    def twice_fresh(self, reference: list[Answer], doubtful: bool) -> tuple[list[Answer], list[Answer]] | None:
        """Every row of the table, alone and in order, in two processes that have done nothing before. `reference` are
        the answers of the first calls here. None: there are no such processes, or nothing is `doubtful` and they
        would cost too much."""
        ...


def in_calls(runner: Runner, rows: Sequence[Row], calls: Calls) -> list[list[Answer]]:
    return [_called(runner, [rows[at] for at in places]) for places in calls]


def _called(runner: Runner, rows: list[Row]) -> list[Answer]:
    from twofold._columns import Batch

    result = runner.run(Batch.from_rows(runner.signature.input_schema, rows))
    texts = iter(runner.signature.encode_rows(result.outputs))
    failed = result.failures
    return [Answer(b"", failed[at].code) if at in failed else Answer(next(texts)) for at in range(len(rows))]


def median_s(runner: Runner, rows: Sequence[Row], size: int) -> float:
    """Seconds of a call with `size` rows."""
    from twofold._columns import Batch

    schema = runner.signature.input_schema
    taken: list[float] = []
    until = time.perf_counter() + TIMED_S
    while len(taken) < TIMED_CALLS and (len(taken) < 3 or time.perf_counter() < until):
        batch = Batch.from_rows(schema, [rows[at % len(rows)] for at in range(size)])
        began = time.perf_counter()
        runner.run(batch)
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


class Here:
    """A model of this process."""

    def __init__(self, model: Model, rows: Sequence[Row]) -> None:
        self.model = model
        self.rows = rows
        self.signature = model.signature
        self._runner = Runner(model)

    def ask(self, calls: Calls) -> list[list[Answer]]:
        return in_calls(self._runner, self.rows, calls)

    def ask_alone(self, rows: Sequence[Row]) -> list[Answer]:
        return [_called(self._runner, [row])[0] for row in rows]

    def seconds(self, sizes: Sequence[int]) -> dict[int, float]:
        return {size: median_s(self._runner, self.rows, size) for size in sizes}

    def twice_fresh(self, reference: list[Answer], doubtful: bool) -> tuple[list[Answer], list[Answer]] | None:  # noqa: ARG002
        """This process may have called the model before, so that both are other ones."""
        if self.model.ref is None or not doubtful:
            return None
        first, second = (_alone_in_another(self.model.ref.to_json(), self.rows) for _ in range(2))
        return first, second


class Hosted:
    """A model in a process of its own, which does nothing but what it is asked."""

    def __init__(self, model: Message, host: Host, folder: Path) -> None:
        from twofold._signature import Signature

        facts = host.wait("ready")
        self.model = model
        self.name: str = facts["name"]
        self.version: str = facts["version"]
        self.signature = Signature.from_json(facts["signature"])
        self._host = host
        self._folder = folder
        self._rows: Sequence[Row] = ()

    def put(self, rows: Sequence[Row]) -> None:
        """The table whose rows are asked from now on."""
        self._rows = rows
        self._send(rows)

    def _send(self, rows: Sequence[Row]) -> None:
        path = self._folder / "rows.arrow"
        _write(path, self.signature, rows)
        self._host.worker.send({"rows": str(path)})
        self._host.wait("rows")

    def ask(self, calls: Calls) -> list[list[Answer]]:
        self._host.worker.send({"ask": [list(map(int, places)) for places in calls]})
        asked = self._host.wait("asked")
        return [[Answer(text.encode(), error) for text, error in answers] for answers in asked]

    def ask_alone(self, rows: Sequence[Row]) -> list[Answer]:
        before = self._rows
        self._send(rows)
        try:
            return [answers[0] for answers in self.ask([[at] for at in range(len(rows))])]
        finally:
            self._send(before)

    def seconds(self, sizes: Sequence[int]) -> dict[int, float]:
        self._host.worker.send({"time": list(sizes)})
        return dict(zip(sizes, self._host.wait("timed"), strict=True))

    def twice_fresh(self, reference: list[Answer], doubtful: bool) -> tuple[list[Answer], list[Answer]] | None:  # noqa: ARG002
        return reference, _alone_in_another(self.model, self._rows)


def _alone_in_another(model: Message, rows: Sequence[Row]) -> list[Answer]:
    with hosted(model) as other:
        other.put(rows)
        return [answers[0] for answers in other.ask([[at] for at in range(len(rows))])]


@contextmanager
def hosted(model: Message) -> Iterator[Hosted]:
    """A process that has loaded this model (a ModelRef as JSON). Raises ModelError for one that cannot be."""
    with (
        tempfile.TemporaryDirectory(prefix="twofold-verify-") as folder,
        hosting(VERIFY_HOST, {"model": model}) as host,
    ):
        yield Hosted(model, host, Path(folder))


def _write(path: Path, signature: Signature, rows: Sequence[Row]) -> None:
    import pyarrow as pa

    from twofold._columns import Batch

    columns = Batch.from_rows(signature.input_schema, list(rows)).arrow()
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, columns.schema) as sink:
        sink.write_batch(columns)


def rows_at(path: str) -> list[Row]:
    """The rows that `put` wrote."""
    import pyarrow as pa

    from twofold._columns import Batch

    with pa.OSFile(path) as file:
        found: Batch = Batch.from_arrow(pa.ipc.open_file(file).get_batch(0))
    return found.rows()
