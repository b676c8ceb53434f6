"""The `twofold` command: one file per subcommand, imported when it is called."""

from __future__ import annotations

__all__ = ["main"]

LEAST_ARGS = 3
"""A command line of `batch` that can be right has three words after it."""


def main() -> None:
    """The entry point of the `twofold` script; ends the process with the exit code."""
    import gc
    import sys

    args = sys.argv[1:]
    if args[:1] == ["batch"] and len(args) > LEAST_ARGS and not {"-h", "--help", "--in-process"} & {*args}:
        from twofold._supervisor import begin

        begin("twofold._batch.worker")  # it imports pyarrow while this process reads its options
    from twofold._cli.app import run

    code = run(args)
    gc.freeze()  # nothing is left to be collected: looking through all of pyarrow on the way out takes 30 ms
    sys.exit(code)
