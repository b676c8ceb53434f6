"""twofold init: a model file to begin with."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from twofold._cli.base import names, option, subcommand
from twofold._errors import OverwriteRefused, UsageError

if TYPE_CHECKING:
    from twofold._starter.columns import Look


@subcommand(
    "init",
    examples="""
Examples:
  twofold init --from train.csv --drop label
  twofold init fraud.py --from 'data/*.parquet' --drop is_fraud,id

Writes model.py (or the file you name; one that is there is left alone): a class with the fields of one row, as they are
in all rows of the data, and a function that answers each row with the mean, or the most frequent value, of the
first column of --drop. It serves and runs in batch as it stands. Then put your model into it.
""",
)
@click.argument("file", metavar="[MODEL.PY]", default="model.py")
@option(
    "--from",
    "source",
    metavar="INPUT",
    required=True,
    help="The data: a file, a folder or a quoted glob of .csv, .parquet, .jsonl or .arrow files.",
)
@option(
    "--drop",
    metavar="COLUMN,…",
    required=True,
    help="Columns that the model does not get; it answers the first of them.",
)
def command(file: str, source: str, drop: str) -> int:
    """Write a model file for the columns of INPUT, to put your model into."""
    path = Path(file)
    _check_path(path)
    from twofold._starter.baseline import baseline_of
    from twofold._starter.columns import look_at
    from twofold._starter.source import source_of

    dropped = names(drop)
    look = look_at(source)
    _check_columns(dropped, look)
    baseline = baseline_of(look, dropped[0])
    fields = [field for name, field in look.fields.items() if name not in dropped]
    left_out = {name: why for name, why in look.left_out.items() if name not in dropped}
    text = source_of(fields, left_out, baseline, Path(source).name)
    try:
        with path.open("x", encoding="utf-8") as new:
            new.write(text)
    except FileExistsError:
        raise _refusal(path) from None
    click.echo(_summary(path, look, [field.name for field in fields], left_out))
    click.echo(_commands(path, source, look))
    return 0


def _check_path(path: Path) -> None:
    if path.suffix != ".py":
        raise UsageError(f"{str(path)!r} is not the name of a Python file. Give one such as {path.with_suffix('.py')}.")
    if path.exists():
        raise _refusal(path)
    if not path.absolute().parent.is_dir():
        raise UsageError(f"there is no folder {str(path.parent)!r} to write {path.name} into. Make it first.")


def _refusal(path: Path) -> OverwriteRefused:
    return OverwriteRefused(
        f"{path} is there already, and init writes over no file. Name another one: twofold init other.py …",
        path=str(path),
    )


def _check_columns(dropped: tuple[str, ...], look: Look) -> None:
    there = look.scan.schema.names
    unknown = [name for name in dropped if name not in there]
    if unknown or not dropped:
        what = f"has no column {unknown[0]!r}" if unknown else "needs a column in --drop, the one to answer"
        raise UsageError(f"the input {what}. Its columns are {', '.join(there)}.", columns=there)
    if not set(look.fields) - set(dropped):
        raise UsageError(
            f"--drop leaves no column to answer from. The input's columns are {', '.join(there)}.", columns=there
        )


def _summary(path: Path, look: Look, fields: list[str], left_out: dict[str, str]) -> str:
    many = f"{len(fields)} field{'s' if len(fields) != 1 else ''}"
    n_whole = look.n_rows - look.n_broken
    lines = [f"Wrote {path}: {many}, as they are in {n_whole:,} row{'s' if n_whole != 1 else ''}."]
    if look.n_broken:
        lines.append(f"{look.n_broken:,} rows cannot be cut into fields; in batch they go to quarantine.")
    if left_out:
        lines.append(f"Left out, as no field can hold them: {', '.join(left_out)}.")
    return "\n".join(lines)


def _commands(path: Path, source: str, look: Look) -> str:
    """What to type next."""
    is_csv = look.scan.format.name == "csv"
    batch = ["twofold", "batch", str(path), source, f"predictions.{'csv' if is_csv else 'parquet'}"]
    if "prediction" in look.scan.schema.names:
        batch += ["--rename", "prediction=predicted"]
    shown = [["twofold", "describe", str(path)], ["twofold", "serve", str(path)], batch]
    return "\n".join(["", "Next:", *(f"  {shlex.join(words)}" for words in shown)])
