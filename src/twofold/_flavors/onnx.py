"""The ONNX flavor: a `.onnx` file, run by onnxruntime.

Threads share one session: with one of their own each they were not faster, in batches of 64 to 8,192 rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from twofold._blame import one_line
from twofold._columns import Batch
from twofold._columns.codecs import Array
from twofold._errors import MissingExtra, ModelError, UsageError
from twofold._fingerprint import Sources, digest_of
from twofold._flavors.loaded import Loaded
from twofold._flavors.onnx_fields import Column, Declared, InputSpec, OutputSpec, read_input, read_output
from twofold._flavors.onnx_file import external_files, zip_map_keys
from twofold._reference import ModelRef
from twofold._signature import Signature

try:
    import onnxruntime
except ImportError as error:
    raise MissingExtra("onnxruntime", "onnx", "A model in an .onnx file") from error

__all__ = ["load"]

ERRORS_ONLY = 3
NOTHING_BUT_FATAL = 4
TRIED_SIZES = (1, 16, 64, 224)
TRIED_ROWS = 2


def load(ref: ModelRef) -> Loaded:
    """Open the file and read its signature. Raises ModelError when onnxruntime cannot, or its shapes are no rows."""
    file = ref.target.file
    assert file is not None
    session = _open(file)
    inputs = [read_input(each.name, each.type, each.shape) for each in session.get_inputs()]
    fixed_rows = _fixed_rows(file, inputs)
    outputs = _columns(_read_outputs(file, session, inputs, fixed_rows, ref.outputs), ref.outputs)
    signature = Signature(
        tuple(spec.field for spec in inputs),
        tuple(column.field for _, column in outputs),
        nulls_as_nan=ref.nulls == "nan",
    )

    graph = _Graph(session, inputs, outputs, fixed_rows, signature)
    sources = _sources(file)
    return Loaded(
        name=file.stem,
        signature=signature,
        form="columns",
        sources=sources,
        digest=digest_of(sources),
        call=graph.call,
        call_columns=graph.call_columns,
        drops_gil=True,
    )


def _open(file: Path) -> Any:
    """A session of one thread: parallelism is outside, where it is faster, and answers do not depend on batch size."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = ERRORS_ONLY  # it would warn on every call whose outputs are not of the declared shape
    try:
        return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ModelError(
            f"{file.name} cannot be opened by onnxruntime {onnxruntime.__version__}: {one_line(error).rstrip('.')}. "
            "Is it a whole ONNX file, made for this version or an older one?",
            file=str(file),
        ) from error


def _fixed_rows(file: Path, inputs: list[InputSpec]) -> int | None:
    if not inputs:
        raise ModelError(f"{file.name} has no inputs, so that there is nothing to predict from.")
    fixed = {spec.n_rows for spec in inputs if spec.n_rows is not None}
    if len(fixed) > 1:
        shown = ", ".join(f"{spec.name} {[spec.n_rows, *spec.shape]}" for spec in inputs)
        raise ModelError(
            f"The inputs of {file.name} do not agree on the number of rows, their first dimension: {shown}. "
            "Write a Python class that loads the file and prepares the inputs."
        )
    return fixed.pop() if fixed else None


def _read_outputs(
    file: Path, session: Any, inputs: list[InputSpec], fixed_rows: int | None, chosen: tuple[str, ...]
) -> list[OutputSpec]:
    declared = session.get_outputs()
    by_column = [each for each in declared if any(name.startswith(f"{each.name}_") for name in chosen)]
    wanted = [each for each in declared if not chosen or each.name in chosen or each in by_column]
    names = ", ".join(each.name for each in declared)
    if not wanted:
        raise UsageError(f"{file.name} has no output {chosen[0]!r}. It has {names}.")
    n_rows = fixed_rows or TRIED_ROWS
    seen = _tried(session, inputs, n_rows, [each.name for each in wanted])
    keys = {} if seen else zip_map_keys(file.read_bytes())
    is_open = any(spec.open for spec in inputs)
    return [
        read_output(
            Declared(each.name, each.type, tuple(each.shape), tuple(keys.get(each.name, ()))),
            seen[at] if seen else None,
            n_rows,
            open_inputs=is_open,
        )
        for at, each in enumerate(wanted)
    ]


def _tried(session: Any, inputs: list[InputSpec], n_rows: int, names: list[str]) -> list[Any] | None:
    """What rows of zeros give; where a size is open, with the first one that the model takes. None where it takes no
    such row: an encoder of categories may refuse an empty string, say."""
    sizes = TRIED_SIZES if any(spec.open for spec in inputs) else TRIED_SIZES[:1]
    for size in sizes:
        try:
            found: list[Any] = session.run(names, {spec.name: spec.zeros(n_rows, size) for spec in inputs}, _QUIET)
        except Exception:
            continue
        return found
    return None


def _columns(outputs: list[OutputSpec], chosen: tuple[str, ...]) -> list[tuple[str, Column]]:
    """(output, column) in the order chosen; a single column is the prediction, several keep their names."""
    found = [(spec.name, column) for spec in outputs for column in spec.columns]
    if chosen:
        known = {spec.name: [pair for pair in found if pair[0] == spec.name] for spec in outputs}
        known |= {column.field.name: [(name, column)] for name, column in found if column.field.name not in known}
        unknown = [name for name in chosen if name not in known]
        if unknown:
            raise UsageError(f"The model has no output {unknown[0]!r}. It has {', '.join(known)}.")
        found = [pair for name in chosen for pair in known[name]]
    names = [column.field.name for _, column in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UsageError(f"Two outputs are named {twice[0]!r}. Choose outputs of different names with --outputs NAME,…")
    if len(found) == 1:
        (name, column) = found[0]
        return [(name, replace(column, field=replace(column.field, name="prediction")))]
    return found


# What goes wrong in a run is raised, with the same text: it need not be logged as well, row by row.
_QUIET = onnxruntime.RunOptions()
_QUIET.log_severity_level = NOTHING_BUT_FATAL


class _Graph:
    """One session and how columns go through it."""

    def __init__(
        self,
        session: Any,
        inputs: list[InputSpec],
        outputs: list[tuple[str, Column]],
        fixed_rows: int | None,
        signature: Signature,
    ) -> None:
        self._session = session
        self._inputs = inputs
        self._open = [spec for spec in inputs if spec.open]
        self._names = list(dict.fromkeys(name for name, _ in outputs))
        self._takes: list[tuple[str, int, Callable[[Any, int], Array]]] = [
            (column.field.name, self._names.index(name), column.take) for name, column in outputs
        ]
        self._fixed_rows = fixed_rows
        self._signature = signature
        self._schema = signature.output_schema

    def call(self, *unnamed: Any, **fields: Any) -> Any:
        """The answer for one row: its value, or a dict where there are several outputs."""
        if unnamed:
            inputs = ", ".join(f"{field.name}=…" for field in self._signature.inputs)
            raise TypeError(f"a model file takes its inputs by keyword: model({inputs})")
        row = self._signature.row(fields)
        (answer,) = self.call_columns(Batch.from_rows(self._signature.input_schema, [row])).rows()
        names = self._schema.names
        return answer[0] if len(names) == 1 else dict(zip(names, answer, strict=True))

    def call_columns(self, batch: Batch) -> Batch:
        """Answer the rows: all at once, those of unlike shapes apart, in pieces where the file fixes the rows."""
        if not self._open:
            return self._alike(batch)
        groups: dict[Any, list[int]] = {}
        columns = [batch.numpy(spec.field.name).tolist() for spec in self._open]
        for position, values in enumerate(zip(*columns, strict=True)):
            groups.setdefault(tuple(map(_shape_of, values)), []).append(position)
        if len(groups) == 1:
            return self._alike(batch)
        order = np.concatenate([np.array(positions) for positions in groups.values()])
        answers = Batch.concat([self._alike(batch.take(positions)) for positions in groups.values()])
        return answers.take(np.argsort(order))

    def _alike(self, batch: Batch) -> Batch:
        n_rows = batch.n_rows
        feeds = {spec.name: spec.array(batch) for spec in self._inputs}
        if self._fixed_rows is None or self._fixed_rows == n_rows:
            return self._answer(feeds, n_rows)
        size = self._fixed_rows
        pieces = []
        for start in range(0, n_rows, size):
            piece = {name: array[start : start + size] for name, array in feeds.items()}
            got = min(size, n_rows - start)
            if got < size:  # the last row again and again, until there are as many as the file wants
                piece = {n: np.concatenate([a, np.repeat(a[-1:], size - got, axis=0)]) for n, a in piece.items()}
            pieces.append(self._answer(piece, size).slice(0, got))
        return Batch.concat(pieces)

    def _answer(self, feeds: dict[str, Array], n_rows: int) -> Batch:
        answers = self._session.run(self._names, feeds, _QUIET)
        columns = {name: take(answers[at], n_rows) for name, at, take in self._takes}
        return Batch(self._schema, n_rows, numpy=columns)


def _shape_of(value: Any) -> tuple[int, ...]:
    """The lengths of a nested list, as far as each is the same throughout."""
    if not isinstance(value, list):
        return ()
    inner = {_shape_of(item) for item in value}
    return (len(value), *(inner.pop() if len(inner) == 1 else ()))


def _sources(file: Path) -> Sources:
    """The file, and those beside it in which large weights are kept."""
    sources = Sources({"model.onnx": file}, {"onnxruntime"})
    for name in external_files(file.read_bytes()):
        if (file.parent / name).is_file():
            sources.files[name] = file.parent / name
    return sources
