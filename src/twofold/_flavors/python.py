"""The Python flavor: a function or class marked with @twofold.model."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any
from weakref import WeakKeyDictionary

from twofold._blame import said
from twofold._errors import ModelError, RowsDoNotFit, TwofoldError, UsageError
from twofold._fingerprint import Sources, digest_of, sources_of
from twofold._flavors.chat import check_chat
from twofold._flavors.loaded import Loaded, PlainCalls, Row
from twofold._flavors.python_files import find
from twofold._flavors.settings import read_settings
from twofold._flavors.streaming import stream_calls, waiting_stream_calls
from twofold._reference import Mark, ModelRef, mark_of, recording_artifacts
from twofold._signature import Answering, Binding, PlainValues, Signature, plain_values, read_hints

__all__ = ["load", "load_target"]

DEFAULT_CONCURRENCY = 64

# A class loads once per process, however often it is asked for.
_loaded: WeakKeyDictionary[Any, dict[tuple[tuple[str, str], ...], Loaded]] = WeakKeyDictionary()


def load(ref: ModelRef) -> Loaded:
    """Import the file or module of a reference and load the model in it."""
    return load_target(find(ref), ref.settings)


def load_target(target: Any, settings: Mapping[str, str]) -> Loaded:
    """Load a marked function or class: read its hints, then, of a class, call the constructor with `settings`."""
    key = tuple(sorted(settings.items()))
    known = _loaded.setdefault(target, {})
    if key not in known:
        known[key] = _load(target, settings)
    return known[key]


def _load(target: Any, settings: Mapping[str, str]) -> Loaded:
    name: str = getattr(target, "__name__", type(target).__name__)
    mark = mark_of(target)
    if mark is None:
        raise ModelError(f"{name!r} is not a model: write @twofold.model above it.")
    function, skip_self = _function_of(target, name)
    binding = read_hints(function, row=mark.row, result=mark.result, skip_self=skip_self)
    _check_mark(name, mark, binding)
    if mark.chat:
        check_chat(name, binding)
    signature = Signature(binding.inputs, binding.outputs)
    example = _example_of(name, mark, signature)
    artifacts: set[Path] = set()
    if inspect.isclass(target):
        with recording_artifacts() as artifacts:
            function = _constructed(target, settings).predict
    elif settings:
        raise UsageError(f"{name} is a function and has no settings: only the constructor of a class takes --set.")
    sources = _sources_of(target)
    sources.add_artifacts(artifacts, _root_of(target))
    return Loaded(
        name=name,
        signature=signature,
        form=binding.form,
        sources=sources,
        digest=digest_of(sources),
        call=function,
        is_async=binding.is_async,
        concurrency=(mark.concurrency or DEFAULT_CONCURRENCY) if binding.is_async else None,
        threads=mark.threads,
        example=example,
        chat=mark.chat,
        **_calls(function, binding, signature),
    )


def _function_of(target: Any, name: str) -> tuple[Any, bool]:
    """What answers, for reading its hints before anything is constructed; and whether its first parameter is self."""
    if not inspect.isclass(target):
        return target, False
    predict, static = getattr(target, "predict", None), inspect.getattr_static(target, "predict", None)
    if not callable(predict):
        raise ModelError(
            f"The class {name} has no method predict: that is what answers a row. Write def predict(self, …) in it."
        )
    return predict, not isinstance(static, (staticmethod, classmethod))


def _check_mark(name: str, mark: Mark, binding: Binding) -> None:
    for word, value in (("concurrency", mark.concurrency), ("threads", mark.threads)):
        if value is None:
            continue
        if type(value) is not int or value < 1:
            raise ModelError(f"{word}={value!r} of {name} must be a whole number of at least 1.")
        if binding.form == "columns":
            raise ModelError(
                f"{word}= of {name} has no meaning: a model on whole columns is called once for many rows. "
                "Leave it out."
            )
        if binding.is_async != (word == "concurrency"):
            other = "threads= is for a function that blocks" if binding.is_async else "concurrency= is for async def"
            raise ModelError(f"{word}= of {name} has no meaning here: {other}. Use the other one, or leave it out.")


def _example_of(name: str, mark: Mark, signature: Signature) -> Row | None:
    if mark.example is None:
        return None
    try:
        row: Row = signature.row(mark.example)
    except RowsDoNotFit as error:
        raise ModelError(f"example= of {name} is not a row of it: {error.errors[0].message}") from error
    return row


def _constructed(target: Any, settings: Mapping[str, str]) -> Any:
    arguments = read_settings(target, settings)
    try:
        return target(**arguments)
    except TwofoldError:
        raise
    except (Exception, SystemExit) as error:
        raise ModelError(f"The constructor of {target.__name__} failed: {said(error)}.") from error


def _calls(function: Callable[..., Any], binding: Binding, signature: Signature) -> dict[str, Any]:
    """The one of Loaded's four ways to call that this model has, and the short one or the pieces beside it."""
    if binding.form == "columns":
        present, results = binding.present, binding.results

        def call_columns(batch: Any) -> Any:
            return results(function(present(batch)), batch.n_rows)

        async def acall_columns(batch: Any) -> Any:
            return results(await function(present(batch)), batch.n_rows)

        return {"acall_columns": acall_columns} if binding.is_async else {"call_columns": call_columns}

    result, check = binding.result, signature.result_row
    if binding.streams:
        calls = waiting_stream_calls if binding.is_async else stream_calls
        return calls(binding.caller(function), check)

    def finish(value: Any) -> Row:
        answer: Row = check(result(value))
        return answer

    if binding.is_async:
        ask = binding.caller(function)

        async def acall_row(row: Row) -> Row:
            return finish(await ask(row))

        return {"acall_row": acall_row}
    plain = _plain_answer(result, signature)
    call_row = binding.caller(function, Answering(plain.condition if plain is not None else "", finish))
    many = PlainCalls(function, plain, finish) if plain is not None and binding.passes_values else None
    return {"call_row": call_row, "plain_calls": many}


def _plain_answer(result: Callable[[Any], Row], signature: Signature) -> PlainValues | None:
    """Which answers are their own canonical values: they need no further look, half the cost of a cheap call."""
    plain = plain_values(signature.outputs[0]) if len(signature.outputs) == 1 else None
    if plain is None:
        return None
    sample = plain.kind(1)
    try:
        return plain if result(sample) == (sample,) else None
    except Exception:  # the answer is a struct with one field
        return None


def _file_of(target: Any) -> Path | None:
    file = getattr(sys.modules.get(target.__module__ or ""), "__file__", None)
    return Path(file).resolve() if file and Path(file).is_file() and file.endswith(".py") else None


def _root_of(target: Any) -> Path:
    """The folder from which the model's module is imported."""
    file = _file_of(target)
    if file is None:
        return Path.cwd()
    return file.parents[_module_name(target, file).count(".") + (file.name == "__init__.py")]


def _module_name(target: Any, file: Path) -> str:
    module = sys.modules[target.__module__]
    if not module.__package__:
        return file.stem
    return module.__spec__.name if module.__spec__ is not None else module.__name__


def _sources_of(target: Any) -> Sources:
    file = _file_of(target)
    if file is not None:
        sources = sources_of(file, _module_name(target, file), _root_of(target))
        sources.code = target.__qualname__.encode()
        return sources
    try:
        return Sources(code=inspect.getsource(target).encode())
    except (OSError, TypeError):  # typed at a prompt
        functions = [v for _, v in sorted(vars(target).items())] if inspect.isclass(target) else [target]
        codes = [_code_text(f.__code__) for f in functions if isinstance(f, FunctionType)]
        return Sources(code="\n".join(codes).encode())


def _code_text(code: CodeType) -> str:
    """A text that differs where the code does, and not from one process to the next."""
    constants = [_code_text(c) if isinstance(c, CodeType) else repr(c) for c in code.co_consts]
    return "\n".join([code.co_code.hex(), *constants, *code.co_names])
