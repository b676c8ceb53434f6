"""What all commands share: how options show themselves, the options that choose a model, and how to load it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import click

from twofold._errors import UsageError

if TYPE_CHECKING:
    from twofold._model import Model, ModelRef

__all__ = [
    "Command",
    "CommandGroup",
    "ModelChoice",
    "Session",
    "at_least",
    "choosing",
    "json_option",
    "model_options",
    "names",
    "option",
    "pairs",
    "subcommand",
    "subgroup",
    "traceback_option",
]

_Declared = TypeVar("_Declared", bound=click.Command)
_Function = TypeVar("_Function", bound=Callable[..., Any])


@dataclass
class Session:
    """What holds for the whole command line."""

    traceback: bool = False


def option(*declarations: str, **settings: Any) -> Callable[[_Function], _Function]:
    """A click option that shows its environment variable in the help."""
    settings.setdefault("show_envvar", True)
    return click.option(*declarations, **settings)


def _remember_traceback(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    session = ctx.find_object(Session)
    if value and session is not None:
        session.traceback = True


def traceback_option(function: _Function) -> _Function:
    return option(
        "--traceback",
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=_remember_traceback,
        help="On an error, show where in the code it arose.",
    )(function)


class Command(click.Command):
    """A command whose help ends with examples, printed as they are."""

    def __init__(self, *args: Any, examples: str = "", **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.examples = examples

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        if self.examples:
            formatter.write("\n" + self.examples.strip("\n") + "\n")


class CommandGroup(Command, click.Group):
    """A command that is several."""


def subcommand(name: str, *, examples: str) -> Callable[[Callable[..., Any]], Command]:
    """Declare a subcommand; every one takes --traceback too. "runs list" is `list` of the group `runs`.

    Each option's environment variable is TWOFOLD_<COMMAND>_<OPTION>, whatever its parameter is called.
    """

    def declare(function: Callable[..., Any]) -> Command:
        own = name.rpartition(" ")[2]
        return _named(name, click.command(own, cls=Command, examples=examples)(traceback_option(function)))

    return declare


def subgroup(name: str, *, examples: str, commands: list[Command]) -> Callable[[Callable[..., Any]], CommandGroup]:
    """Declare a command that is these commands."""

    def declare(function: Callable[..., Any]) -> CommandGroup:
        declared = click.command(name, cls=CommandGroup, examples=examples)(traceback_option(function))
        for command in commands:
            declared.add_command(command)
        return _named(name, declared)

    return declare


def _named(name: str, declared: _Declared) -> _Declared:
    for parameter in declared.params:
        if isinstance(parameter, click.Option):
            flag = max(parameter.opts, key=len).lstrip("-").replace("-", "_")
            parameter.envvar = f"TWOFOLD_{name}_{flag}".upper().replace(" ", "_")
    return declared


class _Number(click.IntRange):
    name = "whole number"


def at_least(low: int, high: int | None = None) -> click.IntRange:
    """The type of an option that is a whole number."""
    return _Number(low, high)


json_option = option("--json", "as_json", is_flag=True, help="Print JSON for programs instead of text for people.")


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """A model reference as given on the command line, and how to read it."""

    reference: str
    settings: dict[str, str]
    outputs: tuple[str, ...]
    nulls: Literal["refuse", "nan"]

    def ref(self) -> ModelRef:
        """For the workers that load it; nothing is loaded here."""
        from twofold._model import model_ref

        return model_ref(self.reference, settings=self.settings, outputs=self.outputs, nulls=self.nulls)

    def load(self) -> Model:
        """The model, loaded in this process."""
        from twofold._model import load

        return load(self.reference, settings=self.settings, outputs=self.outputs, nulls=self.nulls)


def model_options(function: _Function) -> _Function:
    """The argument MODEL and the options --set, --outputs and --nulls, handed on as one `model: ModelChoice`."""

    @click.argument("model", metavar="MODEL")
    @choosing
    @functools.wraps(function)
    def with_choice(
        *args: Any, model: str, settings: tuple[str, ...], outputs: str, nulls: Literal["refuse", "nan"], **rest: Any
    ) -> Any:
        choice = ModelChoice(model, pairs("--set", settings), names(outputs), nulls)
        return function(*args, model=choice, **rest)

    return with_choice  # type: ignore[return-value]


def choosing(function: _Function) -> _Function:
    """The options --set, --outputs and --nulls."""

    @option(
        "--set",
        "settings",
        metavar="NAME=VALUE",
        multiple=True,
        help="Fill an argument of the model's constructor, typed by its annotation. May be repeated.",
    )
    @option(
        "--outputs",
        metavar="NAME,…",
        default="",
        help="Answer only these outputs of an ONNX model, in this order.",
        show_default=False,
    )
    @option(
        "--nulls",
        type=click.Choice(["refuse", "nan"]),
        default="refuse",
        help="A null in a float input of an ONNX model: refuse the row, or take it as NaN.",
    )
    @functools.wraps(function)
    def with_options(*args: Any, **rest: Any) -> Any:
        return function(*args, **rest)

    return with_options  # type: ignore[return-value]


def pairs(flag: str, given: tuple[str, ...], what: str = "NAME=VALUE") -> dict[str, str]:
    """`a=1` texts as a dict."""
    found = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise UsageError(f"{flag} takes {what}, and got {text!r}.")
        found[name] = value
    return found


def names(text: str) -> tuple[str, ...]:
    """`a,b` as a tuple; empty for empty."""
    return tuple(name for name in (part.strip() for part in text.split(",")) if name)
