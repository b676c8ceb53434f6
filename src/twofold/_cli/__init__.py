"""The `twofold` command: one file per subcommand, imported when it is called."""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """The entry point of the `twofold` script; ends the process with the exit code."""
    import sys

    from twofold._cli.app import run

    sys.exit(run(sys.argv[1:]))
