"""Model: a loaded model, whatever it was made of; and how one is named and loaded."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from twofold._errors import ModelError, UsageError
from twofold._fingerprint import Sources, fingerprint
from twofold._flavors import Flavor, Loaded, flavor_of, load_with
from twofold._reference import ModelRef, artifact, mark_of, model, parse, reference_of, refuse_at_import

if TYPE_CHECKING:
    from twofold._columns import Batch
    from twofold._flavors.loaded import PlainCalls
    from twofold._signature import Signature
    from twofold._usage import Piece

__all__ = ["Model", "ModelRef", "artifact", "load", "model", "model_ref", "refuse_at_import"]

Row = tuple[Any, ...]
Nulls = Literal["refuse", "nan"]


class Model:
    """A loaded model.

    name        of its function, class or file
    ref         what another process needs to load it; None for one typed at a prompt or made inside a function
    version     12 hex digits of the fingerprint of all that can change its answers
    signature   the fields of one row and of its answer
    form        "rows": called once a row; "columns": called once for many rows
    is_async    it waits: many calls at once, at most `concurrency`
    threads     how many calls at once, of one that blocks (None: one)
    drops_gil   several threads of one process compute at the same time, and may share this model
    example     a row, where one was declared
    chat        it answers a chat (`@twofold.model(chat=True)`)
    call_row, acall_row, call_columns, acall_columns
                the one way to call it that `form` and `is_async` name; the others are None. They take and give
                canonical values, and may raise anything: the Runner is who calls them
    stream_row, astream_row
                the pieces of one row's answer, of a model that yields: the one that `is_async` names
    """

    def __init__(self, loaded: Loaded, ref: ModelRef | None, facts: Mapping[str, object]) -> None:
        self.name: str = loaded.name
        self.ref = ref
        self.signature: Signature = loaded.signature
        self.form: Literal["rows", "columns"] = loaded.form
        self.is_async: bool = loaded.is_async
        self.drops_gil: bool = loaded.drops_gil
        self.concurrency: int | None = loaded.concurrency
        self.threads: int | None = loaded.threads
        self.example: Row | None = loaded.example
        self.chat: bool = loaded.chat
        self.call_row: Callable[[Row], Row] | None = loaded.call_row
        self.plain_calls: PlainCalls | None = loaded.plain_calls
        self.acall_row: Callable[[Row], Awaitable[Row]] | None = loaded.acall_row
        self.call_columns: Callable[[Batch], Batch] | None = loaded.call_columns
        self.acall_columns: Callable[[Batch], Awaitable[Batch]] | None = loaded.acall_columns
        self.stream_row: Callable[[Row], Generator[Piece, None, None]] | None = loaded.stream_row
        self.astream_row: Callable[[Row], AsyncGenerator[Piece, None]] | None = loaded.astream_row
        self.version: str = fingerprint(loaded.digest, facts)
        self._loaded = loaded

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the user's function, or `predict` of the user's class, as it is; a model file answers one row, its
        inputs given by keyword."""
        return self._loaded.call(*args, **kwargs)

    @property
    def streams(self) -> bool:
        """It yields its answer in pieces."""
        return self.stream_row is not None or self.astream_row is not None

    @property
    def sources(self) -> Sources:
        """What its version counts."""
        return self._loaded.sources

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that its version counts."""
        return tuple(self._loaded.sources.files.values())

    def __repr__(self) -> str:
        return f"<Model {self.name} version {self.version}>"


def model_ref(
    ref: str | Path | Callable[..., Any],
    *,
    settings: Mapping[str, Any] | None = None,
    outputs: Sequence[str] = (),
    nulls: Nulls = "refuse",
) -> ModelRef:
    """The reference by which any process can load this model, without loading it here.

    Raises ModelError when there is no such file, no flavor for it, or no way for another process to find the function;
    UsageError for an option that has no meaning for this kind of model.
    """
    if not isinstance(ref, (str, Path)):
        found = _ref_of_target(ref, settings)
        if found is None:
            raise ModelError(
                f"{getattr(ref, '__name__', ref)!r} cannot be found by another process: it was typed at a prompt or "
                "made inside a function. Put it at the top of a file; rows in memory work without that."
            )
        _check_options(flavor_of(found.target.file), str(ref), settings, outputs, nulls)
        return found
    target = parse(str(ref))
    _check_options(flavor_of(target.file), str(ref), settings, outputs, nulls)
    if target.file is None:
        return ModelRef(str(ref), _as_text(settings), folder=str(Path.cwd()))
    name = f":{target.name}" if target.name else ""
    return ModelRef(f"{target.file}{name}", _as_text(settings), tuple(outputs), nulls)


def load(
    ref: str | Path | Callable[..., Any] | ModelRef | Model,
    *,
    settings: Mapping[str, Any] | None = None,
    outputs: Sequence[str] = (),
    nulls: Nulls = "refuse",
) -> Model:
    """Load a model in this process.

    ref       `file.py` (its only model), `file.py:name`, `package.module:name`, `file.onnx`, or a function or class
              marked with `@twofold.model`
    settings  arguments of the constructor of a class
    outputs   the outputs of a model file to answer with, in this order (none: all)
    nulls     "nan": a null in a float input of a model file becomes NaN; "refuse": such a row does not fit

    Raises ModelError when it cannot be found, read or loaded, UsageError for a wrong setting or option, and
    MissingExtra when the package that runs it is not installed.
    """
    if isinstance(ref, Model):
        return ref
    if isinstance(ref, (str, Path)):
        ref = model_ref(ref, settings=settings, outputs=outputs, nulls=nulls)
    if isinstance(ref, ModelRef):
        return _load_ref(ref)
    if mark_of(ref) is None:
        raise ModelError(
            f"{getattr(ref, '__name__', type(ref).__name__)!r} is not a model: write @twofold.model above it, "
            "or give the path of a file with a model."
        )
    return _load_target(ref, settings, outputs, nulls)


def _load_ref(ref: ModelRef) -> Model:
    loaded = load_with(flavor_of(ref.target.file), ref)
    return Model(loaded, ref, _facts(ref.settings, ref.outputs, ref.nulls))


def _load_target(
    target: Callable[..., Any], settings: Mapping[str, Any] | None, outputs: Sequence[str], nulls: Nulls
) -> Model:
    from twofold._flavors.python import load_target

    _check_options(flavor_of(None), getattr(target, "__name__", "the model"), settings, outputs, nulls)
    given = _as_text(settings)
    return Model(load_target(target, given), _ref_of_target(target, settings), _facts(given, (), "refuse"))


def _facts(settings: Mapping[str, str], outputs: Sequence[str], nulls: Nulls) -> dict[str, object]:
    """What changes the answers beside the model's files."""
    return {"settings": sorted(settings.items()), "outputs": list(outputs), "nulls": nulls}


def _ref_of_target(target: Callable[..., Any], settings: Mapping[str, Any] | None) -> ModelRef | None:
    found = reference_of(target)
    return None if found is None else ModelRef(found[0], _as_text(settings), folder=found[1])


def _as_text(settings: Mapping[str, Any] | None) -> dict[str, str]:
    """Settings as they are given on the command line: another process gets them as text, too."""
    found = {}
    for name, value in (settings or {}).items():
        try:
            found[name] = (
                value if isinstance(value, str) else str(value) if isinstance(value, Path) else json.dumps(value)
            )
        except (TypeError, ValueError) as error:
            raise UsageError(
                f"The setting {name!r} is {type(value).__name__}: settings are text, numbers, true and false, "
                "None, or lists and dicts of these.",
                name=name,
            ) from error
    return found


def _check_options(
    flavor: Flavor, shown: str, settings: Mapping[str, Any] | None, outputs: Sequence[str], nulls: Nulls
) -> None:
    if outputs and "outputs" not in flavor.takes:
        raise UsageError(
            f"--outputs chooses among the outputs of a model file such as .onnx; {shown} is Python: "
            "let it return what you want."
        )
    if nulls not in ("refuse", "nan"):
        raise UsageError(f"nulls is 'refuse' or 'nan', and {nulls!r} was given.")
    if nulls == "nan" and "nulls" not in flavor.takes:
        raise UsageError(
            f"--nulls nan is for the float inputs of a model file such as .onnx; in {shown}, which is Python, "
            "declare the field `float | None`."
        )
    if settings and "settings" not in flavor.takes:
        raise UsageError(
            f"--set fills the constructor of a Python class, and {shown} has none. "
            "The outputs of a model file are chosen with --outputs."
        )
