"""twofold describe: the signature of a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from twofold._cli.base import ModelChoice, json_option, model_options, subcommand

if TYPE_CHECKING:
    from twofold._model import Model
    from twofold._signature.types import Field

_FORMS = {"rows": "one call a row", "columns": "whole columns at once"}


@subcommand(
    "describe",
    examples="""
Examples:
  twofold describe parity.py
  twofold describe fraud.onnx --outputs probabilities
  twofold describe models.py:Fraud --set threshold=0.8 --json
""",
)
@model_options
@json_option
def command(model: ModelChoice, as_json: bool) -> int:
    """Show what MODEL takes and answers: names, types, defaults and constraints of one row.

    MODEL is file.py (its only model), file.py:name, package.module:name or model.onnx.
    """
    loaded = model.load()
    if as_json:
        import json

        click.echo(json.dumps(facts(loaded), ensure_ascii=False, indent=2))
    else:
        click.echo(text(loaded))
    return 0


def facts(model: Model) -> dict[str, Any]:
    """The description as JSON-ready values."""
    return {
        "name": model.name,
        "version": model.version,
        "form": model.form,
        "async": model.is_async,
        "streams": model.streams,
        "chat": model.chat,
        **model.signature.describe(),
    }


def text(model: Model) -> str:
    """The description as a few short tables."""
    form = _FORMS[model.form] + (", many calls at once (async)" if model.is_async else "")
    form += ", answers in pieces" if model.streams else ""
    form += ", a chat model" if model.chat else ""
    lines = [f"{model.name}  version {model.version}  ({form})", ""]
    lines += _table("Input", [_input_cells(field) for field in model.signature.inputs])
    lines += [""]
    lines += _table("Output", [[f.name, _type(f), ""] for f in model.signature.outputs])
    return "\n".join(lines)


def _type(field: Field) -> str:
    from twofold._signature.types import type_name

    return type_name(field.type) + (" or null" if field.nullable else "")


def _input_cells(field: Field) -> list[str]:
    presence = "required" if field.required else f"optional, default {_value(field.default)}"
    limits = _limits(field)
    return [field.name, _type(field), f"{presence}; {limits}" if limits else presence]


def _value(value: object) -> str:
    import json

    try:
        return json.dumps(value, ensure_ascii=False)
    except TypeError:
        return str(value)


_SIGNS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<", "multiple_of": "a multiple of"}
_WORDS = {"min_length": "length >=", "max_length": "length <=", "pattern": "matches"}


def _limits(field: Field) -> str:
    limits = [
        f"{word} {value}"
        for name, word in (_SIGNS | _WORDS).items()
        if (value := getattr(field.constraints, name)) is not None
    ]
    return ", ".join(limits)


def _table(title: str, rows: list[list[str]]) -> list[str]:
    cells = [[title, "Type", ""], *rows]
    widths = [max(len(row[column]) for row in cells) for column in range(3)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]
