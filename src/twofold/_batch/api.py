"""`twofold.batch`: what comes in decides what comes out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict, TypeVar, Unpack, overload

from twofold._batch.report import BatchReport
from twofold._errors import ModelError, UsageError
from twofold._options import BatchOptions, options_of
from twofold._reference import ModelRef, refuse_at_import

if TYPE_CHECKING:
    from twofold._batch.dry import DryRun
    from twofold._model import Model

__all__ = ["BatchSettings", "batch"]

Frame = TypeVar("Frame")


class BatchSettings(TypedDict, total=False):
    """The fields of BatchOptions."""

    workers: int | None
    batch_rows: int | None
    split_rows: int | None
    map: Mapping[str, str]
    keep: tuple[str, ...] | list[str] | None
    rename: Mapping[str, str]
    limit_rows: int | None
    where: str | None
    input_format: str | None
    max_bad_rows: str | int | None
    overwrite: bool
    row_timeout_s: float
    unsorted: bool
    memory_bytes: int | None
    priority: str
    quarantine: str | None
    key: str | tuple[str, ...] | list[str]
    state: str
    output_format: str | None
    events: str | None
    in_process: bool
    executor: Literal["local", "ray"]
    address: str | None


@overload
def batch(
    model: str | Path | Model | ModelRef | Callable[..., Any],
    data: str | Path,
    output: str | Path,
    *,
    dry_run: Literal[True],
    **settings: Unpack[BatchSettings],
) -> DryRun: ...


@overload
def batch(
    model: str | Path | Model | ModelRef | Callable[..., Any],
    data: str | Path,
    output: str | Path,
    **settings: Unpack[BatchSettings],
) -> BatchReport: ...


@overload
def batch(
    model: str | Path | Model | ModelRef | Callable[..., Any], data: list[Any], **settings: Unpack[BatchSettings]
) -> list[Any]: ...


@overload
def batch(
    model: str | Path | Model | ModelRef | Callable[..., Any], data: Frame, **settings: Unpack[BatchSettings]
) -> Frame: ...


def batch(
    model: str | Path | Model | ModelRef | Callable[..., Any],
    data: Any,
    output: str | Path | None = None,
    *,
    dry_run: bool = False,
    **settings: Unpack[BatchSettings],
) -> Any:
    """Answer every row of `data`, in order.

    A list of rows gives the list of their answers, computed in this process; an Arrow table, a pandas or polars
    DataFrame gives one of its kind, with the answers beside the columns it came with. A path (a file, folder or glob),
    with `output`, is computed by worker processes and gives a BatchReport; a run that was stopped goes on where it was.
    With `dry_run` it writes nothing, and gives what it would do: columns, splits, a sample, about how many seconds.

    `model` is a reference such as "parity.py", a marked function or class, or a loaded model. The settings are the
    options of `twofold batch`: `workers`, `batch_rows`, `split_rows`, `map` (field -> column), `keep`, `rename`
    (answer -> column), `limit_rows`, `where`, `input_format`, `max_bad_rows`, `overwrite`, `quarantine`, `key`,
    `state`, `output_format`, `row_timeout_s`, `unsorted`, `memory_bytes`, `priority`, `events`, `in_process`,
    `executor` ("local" or "ray") and `address` (of the Ray cluster).

    Raises UsageError for a refused overwrite, ModelError and InputError for what is broken, RunStopped for a run
    that cannot end.
    """
    if settings.get("keep") is not None:
        settings = {**settings, "keep": tuple(settings["keep"] or ())}
    if "key" in settings:
        key = settings["key"]
        settings = {**settings, "key": (key,) if isinstance(key, str) else tuple(key)}
    options = options_of(BatchOptions, "twofold.batch", settings)
    is_path = isinstance(data, (str, Path))
    if is_path and output is None:
        raise UsageError(
            f"twofold.batch got the path {str(data)!r} and no output. Say where the result goes: "
            "twofold.batch(model, input, output); or give it rows."
        )
    if not is_path and output is not None:
        raise UsageError("twofold.batch writes an output for a path only; rows in memory are answered in memory.")
    if dry_run and not is_path:
        raise UsageError("dry_run is for stored data: rows in memory are answered in memory, and nothing is written.")
    if is_path:
        refuse_at_import("batch")
        if dry_run:
            from twofold._batch.dry import dry_run as described

            return described(reference_for_workers(model), str(data), str(output), options)
        from twofold._batch.run import run_batch

        return run_batch(reference_for_workers(model), str(data), str(output), options)
    from twofold._batch.memory import run_in_memory
    from twofold._model import load

    return run_in_memory(load(model), data, options)


def reference_for_workers(model: str | Path | Model | ModelRef | Callable[..., Any]) -> ModelRef:
    """What worker processes load. ModelError for a model that only this process has."""
    from twofold._model import Model, model_ref

    if isinstance(model, ModelRef):
        return model
    if not isinstance(model, Model):
        return model_ref(model)
    if model.ref is None:
        raise ModelError(
            f"Worker processes load a model from its file, and {model.name!r} was typed at a prompt or made inside a "
            "function. Put it at the top of a file; rows in memory work without that."
        )
    return model.ref
