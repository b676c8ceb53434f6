"""`twofold verify`: the rows of an input, asked in every way there is, in processes of their own."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from twofold._compare.hosting import COMPARE_HOST, hosting
from twofold._errors import InputError
from twofold._load.rows import Rows, read_rows
from twofold._model import model_ref
from twofold._options import ServeOptions
from twofold._signature import Signature
from twofold._verify.asking import Answer, Here, Hosted, Row, Subject, hosted
from twofold._verify.check import Checked, Pass, VerifyOptions, check
from twofold._verify.coercion import Travelled, coerced, echo
from twofold._verify.doors import Door, ask_through, doors_for
from twofold._verify.experiments import Cause
from twofold._verify.judging import Found, Judge
from twofold._verify.outside import Outside
from twofold._verify.report import Verification
from twofold._verify.stored import FORMATS, batch_here, batch_over, write_rows

if TYPE_CHECKING:
    from twofold._model import Model
    from twofold._supervisor import Message

__all__ = ["put_beside", "verify", "verify_here"]

OnStage = Callable[[str], None]


def _nobody(_: str) -> None:
    pass


def verify(model: Message, path: str, options: VerifyOptions, on_stage: OnStage = _nobody) -> Verification:
    """Verify a model (a ModelRef as JSON) over the first rows of an input. `on_stage` is told what is going on.

    Raises ModelError, InputError, and RunStopped when a process is lost.
    """
    on_stage("loading the model")
    with hosted(model) as subject, tempfile.TemporaryDirectory(prefix="twofold-verify-") as folder:
        rows = read_rows(subject.signature, path, columns=options.map, limit=options.limit_rows)
        if not rows.typed:
            raise InputError(
                f"{path!r} has no row that fits the model, among the {rows.seen} looked at. `twofold batch` says what "
                "is wrong with each of them.",
                path=path,
            )
        subject.put(rows.typed)
        positions = [row for _, row in rows.positions]
        judge = Judge(subject.signature, options.tolerance, positions)
        explain = _Explain(subject, judge, rows.typed, options, Path(folder))

        def ways(_: Sequence[Answer]) -> Iterator[tuple[str, list[Answer]]]:
            served = {"port": 0, "deadline_s": options.deadline_s}
            on_stage("starting a server")
            with hosting(COMPARE_HOST, {"serve": {"model": model, "options": served}}) as host:
                url = host.wait("serving").split()[-1]
                for door in doors_for(subject.signature):
                    on_stage(f"through {door.name}")
                    asked = ask_through(door, url, subject.name, subject.signature, rows.typed, options.deadline_s)
                    yield door.name, asked
                host.worker.send({"stop": True})
                host.wait("done")
            on_stage("in batch")
            stored = {"limit_rows": rows.seen, "map": options.map}
            yield "batch", batch_over(model, subject.signature, path, Path(folder, "a.arrow"), stored, rows.positions)
            for suffix in FORMATS:
                on_stage(f"in batch, {suffix}")
                stored_rows = Path(folder, f"rows.{suffix}")
                write_rows(subject.signature, rows.typed, stored_rows)
                where = [(str(stored_rows), at) for at in range(len(rows.typed))]
                answers = Path(folder, f"answers.{suffix}")
                yield explain.stored(suffix), batch_over(model, subject.signature, str(stored_rows), answers, {}, where)

        checked = check(subject, rows.typed, judge, ways, explain, on_stage)
        for outside in _outsides(subject, path, rows, options, on_stage):
            put_beside(checked, outside, subject, judge, rows.typed)
    return Verification(subject.name, subject.version, path, rows.unfit, judge, checked)


def verify_here(model: Model, rows: Sequence[Row], options: VerifyOptions, doors: Sequence[Door] = ()) -> Verification:
    """Verify a model in this process, over typed rows: the server is one of threads, batch is that in memory."""
    from twofold._realtime.api import threaded

    subject = Here(model, rows)
    judge = Judge(model.signature, options.tolerance)

    def ways(reference: Sequence[Answer]) -> Iterator[tuple[str, list[Answer]]]:
        with threaded([(model.name, model)], ServeOptions(port=0, deadline_s=options.deadline_s)) as served:
            for door in used:
                yield door.name, ask_through(door, served.url, model.name, model.signature, rows, options.deadline_s)
        yield "batch", batch_here(model, rows, reference)

    used = doors or doors_for(model.signature)
    with tempfile.TemporaryDirectory(prefix="twofold-verify-") as folder:
        checked = check(subject, rows, judge, ways, _Explain(subject, judge, rows, options, Path(folder), used))
    return Verification(model.name, model.version, "", 0, judge, checked)


def _outsides(subject: Hosted, path: str, rows: Rows, options: VerifyOptions, on_stage: OnStage) -> Iterator[Outside]:
    """The answers from elsewhere that were asked for."""
    from twofold._batch.formats import find_format
    from twofold._load.target import is_url
    from twofold._verify.outside import expected, of_model, of_predictions

    signature, positions, limit = subject.signature, rows.positions, rows.seen
    if options.expect:
        yield expected(signature, path, options.expect, positions, limit)
    for other in options.against:
        on_stage(f"against {other}")
        if is_url(other):
            from twofold._verify.served import of_url

            yield of_url(signature, other, rows.typed, options.deadline_s)
        elif find_format(other) is not None:
            yield of_predictions(signature, other, path, positions)
        else:
            yield of_model(signature, model_ref(other).to_json(), other, path, options.map, positions, limit)


def put_beside(checked: Checked, outside: Outside, subject: Subject, judge: Judge, rows: Sequence[Row]) -> None:
    """Compare, and look for a field that arrives there as another value."""
    beside = Judge(outside.signature, judge.tolerance, judge.positions)
    own = outside.project(checked.reference, judge.signature)
    answers = [outside.answers[at] for at in range(len(rows))]
    found = beside.found(zip(range(len(rows)), answers, own, strict=True))
    checked.passes.append(Pass(outside.name, found))
    outputs = found.fields_beyond - checked.blamed
    if not outputs or outside.arrived is None:
        return

    def ask(some: Sequence[Row]) -> list[Answer]:
        return outside.project(subject.ask_alone(some), judge.signature)

    way = Travelled(outside.name.removeprefix("against "), found, answers, rows, outside.arrived)
    checked.causes += coerced(ask, beside, way, outputs, ours=False)


class _Explain:
    """Why the answers of a way through a protocol or a file differ from those of calls."""

    def __init__(
        self,
        subject: Subject,
        judge: Judge,
        rows: Sequence[Row],
        options: VerifyOptions,
        folder: Path,
        doors: Sequence[Door] = (),
    ) -> None:
        self._subject = subject
        self._judge = judge
        self._rows = rows
        self._options = options
        self._folder = folder
        self._doors = {door.name: door for door in doors or doors_for(subject.signature)}

    @staticmethod
    def stored(suffix: str) -> str:
        return f"batch, {suffix}"

    def __call__(self, name: str, found: Found, answers: Sequence[Answer], blamed: set[str]) -> list[Cause]:
        arrived: Sequence[Row | None] = self._rows
        if name in self._doors:
            arrived = self._through(self._doors[name])
        for suffix in FORMATS:
            if name == self.stored(suffix):
                arrived = self._read(self._folder / f"rows.{suffix}")
        way = Travelled(name, found, answers, self._rows, arrived)
        return coerced(self._subject.ask_alone, self._judge, way, found.fields_beyond - blamed)

    def _through(self, door: Door) -> list[Row | None]:
        """The rows as an echo gives them back."""
        from twofold._realtime.api import threaded

        model = echo(self._judge.signature)
        with threaded([(model.name, model)], ServeOptions(port=0, deadline_s=self._options.deadline_s)) as served:
            asked = ask_through(door, served.url, model.name, model.signature, self._rows, self._options.deadline_s)
        return [None if answer.error else model.signature.decode_row(answer.encoded) for answer in asked]

    def _read(self, path: Path) -> list[Row | None]:
        signature: Signature = self._judge.signature
        read = read_rows(signature, str(path), columns={}, limit=len(self._rows))
        arrived: list[Row | None] = [None] * len(self._rows)
        for row, (_, at) in zip(read.typed, read.positions, strict=True):
            arrived[at] = row
        return arrived
