"""Answers from elsewhere, put beside a model's own: a column, a file of predictions, another model.

Each source gives `Outside`: what it answers to the rows that it has an answer to, in the types of this model's outputs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from twofold._errors import InputError, RowsDoNotFit, TwofoldError, UsageError
from twofold._load.rows import Position, read_rows
from twofold._signature import Field, Signature
from twofold._verify.asking import Answer, Row, hosted

if TYPE_CHECKING:
    from twofold._supervisor import Message

__all__ = ["Outside", "expected", "of_model", "of_predictions", "outputs_in_common", "translated"]


@dataclass(frozen=True)
class Outside:
    """`signature` has the model's inputs and those of its outputs that are compared; `answers` are by the rows' places
    in the table. `arrived`: each row as the source got it, where that is known."""

    name: str
    signature: Signature
    answers: Mapping[int, Answer]
    arrived: Sequence[Row | None] | None = None

    def project(self, answers: Sequence[Answer], whole: Signature) -> list[Answer]:
        """The model's own answers, with the compared outputs alone."""
        decode = Signature(whole.outputs, ()).decode_row
        at = [field.name for field in whole.outputs]
        places = [at.index(field.name) for field in self.signature.outputs]
        found = []
        for answer in answers:
            if answer.error:
                found.append(answer)
                continue
            row = decode(answer.encoded)
            found.append(Answer(self.signature.encode_row(tuple(row[place] for place in places))))
        return found


def _only(signature: Signature, names: Sequence[str]) -> Signature:
    by_name = {field.name: field for field in signature.outputs}
    return Signature(signature.inputs, tuple(by_name[name] for name in names), nulls_as_nan=signature.nulls_as_nan)


# ---- columns


def expected(
    signature: Signature, path: str, given: Sequence[str], positions: Sequence[Position], limit: int
) -> Outside:
    """`--expect COLUMN` or `--expect OUTPUT=COLUMN`, as often as there are columns of expected answers in DATA."""
    names = [field.name for field in signature.outputs]
    columns: dict[str, str] = {}
    for text in given:
        name, equals, column = text.partition("=")
        if not equals:
            name, column = (names[0] if len(names) == 1 else text), text
        if name not in names:
            raise UsageError(
                f"--expect {text}: the model has no output {name!r}. Its outputs: {', '.join(names)}. Say which one "
                f"the column is: --expect {names[0] if names else 'OUTPUT'}={column}"
            )
        columns[name] = column
    chosen = _only(signature, [name for name in names if name in columns])
    return Outside(f"expected: {', '.join(columns.values())}", chosen, _read(chosen, path, columns, positions, limit))


def _read(
    chosen: Signature, path: str, columns: Mapping[str, str], positions: Sequence[Position], limit: int
) -> dict[int, Answer]:
    """The answers that stand in these columns, for the rows at these positions."""
    stored = Signature(tuple(Field(field.name, field.type, nullable=True) for field in chosen.outputs), ())
    read = read_rows(stored, path, columns=columns, limit=limit)
    if not read.typed:
        raise InputError(
            f"{path!r}: the column {', '.join(map(repr, columns.values()))} has no value that fits the model's output.",
            path=path,
        )
    there = dict(zip(read.positions, read.typed, strict=True))
    unread = Answer(b"", "does_not_fit")
    return {
        at: Answer(_nullable(chosen).encode_row(there[position])) if position in there else unread
        for at, position in enumerate(positions)
    }


def _nullable(chosen: Signature) -> Signature:
    return Signature((), tuple(Field(field.name, field.type, nullable=True) for field in chosen.outputs))


def of_predictions(signature: Signature, path: str, data: str, positions: Sequence[Position]) -> Outside:
    """The columns of a file of predictions that have the names of outputs. Its rows are those of DATA, in order."""
    from twofold._batch.sources import scan_inputs

    theirs, ours = scan_inputs(path), scan_inputs(data)
    if theirs.n_rows != ours.n_rows:
        raise InputError(
            f"{path!r} has {theirs.n_rows:,} rows and {data!r} has {ours.n_rows:,}. Predictions are matched by their "
            "place: they need a row for each row of DATA, in the same order.",
            path=path,
        )
    names = [field.name for field in signature.outputs if field.name in theirs.schema.names]
    if not names:
        raise InputError(
            f"{path!r} has none of the model's outputs ({', '.join(f.name for f in signature.outputs)}) among its "
            f"columns: {', '.join(theirs.schema.names)}.",
            path=path,
        )
    starts_ours, starts_theirs = _starts(ours.files), _starts(theirs.files)
    flat = [starts_ours[file] + row for file, row in positions]
    placed = sorted((start, file) for file, start in starts_theirs.items())
    where = [next((file, at - start) for start, file in reversed(placed) if start <= at) for at in flat]
    chosen = _only(signature, names)
    return Outside(f"against {path}", chosen, _read(chosen, path, {n: n for n in names}, where, max(flat) + 1))


def _starts(files: Sequence[Any]) -> dict[str, int]:
    """How many rows stand before each file."""
    found: dict[str, int] = {}
    total = 0
    for scan in files:
        found[scan.path] = total
        total += scan.n_rows
    return found


# ---- another model


def of_model(
    signature: Signature, model: Message, name: str, data: str, columns: Mapping[str, str],
    positions: Sequence[Position], limit: int,
) -> Outside:  # fmt: skip
    """Another model over the rows of DATA that fit it, each alone. It reads them by its own signature."""
    with hosted(model) as other:
        inputs = {field.name for field in other.signature.inputs}
        own = {field: column for field, column in columns.items() if field in inputs}
        read = read_rows(other.signature, data, columns=own, limit=limit)
        if not read.typed:
            raise InputError(f"{data!r} has no row that fits {name}.", path=data)
        other.put(read.typed)
        asked = [answers[0] for answers in other.ask([[at] for at in range(len(read.typed))])]
    common = outputs_in_common(signature, [field.name for field in other.signature.outputs], name)
    chosen = _only(signature, list(common.values()))
    place = {position: at for at, position in enumerate(read.positions)}
    missing = Answer(b"", "does_not_fit")
    answers: dict[int, Answer] = {}
    arrived: list[Row | None] = []
    at_of = {field.name: at for at, field in enumerate(other.signature.inputs)}
    for row, position in enumerate(positions):
        at = place.get(position)
        answers[row] = missing if at is None else _in_our_types(asked[at], chosen, common)
        there = None if at is None else read.typed[at]
        arrived.append(None if there is None else tuple(_put(there, at_of, field) for field in signature.inputs))
    return Outside(
        f"against {name}", chosen, answers, arrived if inputs >= {f.name for f in signature.inputs} else None
    )


def _put(row: Row, at_of: Mapping[str, int], field: Field) -> Any:
    return row[at_of[field.name]] if field.name in at_of else None


def outputs_in_common(signature: Signature, theirs: Sequence[str], name: str) -> dict[str, str]:
    """Their name -> ours, of the outputs that both have; where both have only one, it is the same one."""
    ours = [field.name for field in signature.outputs]
    if len(ours) == len(theirs) == 1:
        return {theirs[0]: ours[0]}
    found = {output: output for output in theirs if output in ours}
    if not found:
        raise UsageError(
            f"{name} answers with {', '.join(theirs) or 'nothing'}, and this model with {', '.join(ours)}: there is no "
            "output of one name to compare."
        )
    return found


def _in_our_types(answer: Answer, chosen: Signature, common: Mapping[str, str]) -> Answer:
    if answer.error:
        return answer
    values = msgspec.json.decode(answer.encoded, type=dict[str, msgspec.Raw])
    return translated({common[name]: text for name, text in values.items() if name in common}, chosen)


def translated(texts: Mapping[str, bytes], chosen: Signature) -> Answer:
    """An answer, of which each output is a JSON text, in the types of this model's."""
    body = b"{" + b",".join(msgspec.json.encode(name) + b":" + bytes(text) for name, text in texts.items()) + b"}"
    try:
        return Answer(chosen.encode_row(Signature(chosen.outputs, ()).decode_row(body)))
    except RowsDoNotFit:
        return Answer(b"", "does_not_fit")
    except TwofoldError:
        return Answer(b"", "no_answer")
