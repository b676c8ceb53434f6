"""The group of commands, and how its errors become words and exit codes.

0 done · 1 broken input or model · 2 usage · 3 done, with failing rows · 4 answers differ · 130 Ctrl-C · 143 SIGTERM
"""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Sequence
from importlib import import_module

import click

from twofold._cli.base import Session, traceback_option
from twofold._errors import RowsDoNotFit, TwofoldError
from twofold._version import __version__

__all__ = ["COMMANDS", "run"]

SHOWN_MISFITS = 5

# Each command's one line in `twofold --help`; its file is imported only when the command is called.
COMMANDS = {
    "init": "Write a model file for the columns of your data.",
    "describe": "Show what a model takes and answers.",
    "predict": "Answer one row, or a list of rows, here and now.",
    "serve": "Answer requests over HTTP in real time.",
    "batch": "Run a model over stored data.",
    "runs": "List batch runs, and show what one did.",
    "stream": "Answer messages: Kafka, NATS, or lines of a pipe.",
    "jobs": "Run batch jobs on schedules and triggers.",
    "compare": "Run both modes over the same rows, side by side.",
    "verify": "Ask the same rows in every way; exit 4 if answers differ.",
    "advise": "Say which mode a job should use, and what it costs.",
    "bench": "Send load to a server, and show how it answers.",
}


class Commands(click.Group):
    """Looks commands up in the table, and suggests the right name for a wrong one."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:  # noqa: ARG002
        if name not in COMMANDS:
            return None
        command: click.Command = import_module(f"twofold._cli.{name}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in COMMANDS and not name.startswith("-"):
            close = difflib.get_close_matches(name, COMMANDS, n=1, cutoff=0.5)
            hint = f"Did you mean '{close[0]}'?" if close else f"The commands are {', '.join(COMMANDS)}."
            raise click.UsageError(f"There is no command '{name}'. {hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        formatter.write("\n" + _EPILOG)


_EPILOG = """\
Examples:
  twofold init model.py --from train.csv --drop label
  twofold describe parity.py
  twofold predict parity.py '{"number": 7}'
  twofold serve parity.py --port 8000
  twofold batch parity.py numbers.parquet labels.parquet
  twofold stream parity.py - - < numbers.jsonl
  twofold compare parity.py numbers.parquet
  twofold bench parity.py --rate 500/s

A MODEL is file.py, file.py:name, package.module:name or model.onnx. Every option can
also be set by an environment variable: TWOFOLD_BATCH_WORKERS=4 is `batch --workers 4`.
"""


@click.group(
    cls=Commands,
    name="twofold",
    context_settings={
        "auto_envvar_prefix": "TWOFOLD",
        "help_option_names": ["-h", "--help"],
        "max_content_width": 100,
        "show_default": True,
    },
)
@click.version_option(__version__, message="twofold %(version)s")
@traceback_option
def twofold() -> None:
    """One model definition, two modes, the same answers.

    Write a model once; ask it in real time over HTTP, run it in batch over stored data, and see the two compared.
    """


def run(args: Sequence[str]) -> int:
    """Run one command line and give its exit code; errors are one paragraph on standard error."""
    session = Session()
    try:
        code = twofold.main(list(args), prog_name="twofold", standalone_mode=False, obj=session)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except click.exceptions.NoArgsIsHelpError as help_text:
        click.echo(help_text.format_message(), err=True)
        return 2
    except click.ClickException as error:
        return _complain(session, error, _usage_words(error), 2)
    except RowsDoNotFit as error:
        return _complain(session, error, _misfits(error), 1)
    except TwofoldError as error:
        return _complain(session, error, error.message, error.exit_code)
    except (KeyboardInterrupt, click.Abort) as error:
        words = str(error) or str(error.__cause__ or "")
        return _complain(session, error, words, 130) if words else 130
    except BrokenPipeError:
        # whoever read our output is gone; keep the interpreter's last flush from complaining
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _complain(session, error, f"{where}{error.strerror or error}", 1)
    except Exception as error:
        words = f"unexpected {type(error).__name__}: {error}. Run again with --traceback to see where."
        return _complain(session, error, words, 1)


def _usage_words(error: click.ClickException) -> str:
    words = error.format_message()
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "twofold"
    return f"{words.rstrip()} (`{path} --help` explains)"


def _misfits(error: RowsDoNotFit) -> str:
    shown = "; ".join(f"row {e.row}: {e.message}" for e in error.errors[:SHOWN_MISFITS])
    more = len(error.errors) - SHOWN_MISFITS
    return f"{shown}{f'; and {more} more' if more > 0 else ''}"


def _complain(session: Session, error: BaseException, words: str, code: int) -> int:
    if session.traceback:
        import traceback

        traceback.print_exception(error)
        if isinstance(error, TwofoldError) and error.data.get("traceback"):
            click.echo(f"In the process that raised it:\n{error.data['traceback']}", err=True)
    click.echo(f"twofold: {words}", err=True)
    return code
