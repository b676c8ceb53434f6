"""What a user may name as INPUT: files, tables and queries, files as rows, standard input."""

from __future__ import annotations

from typing import Any

from twofold._batch.databases import is_database, location_of
from twofold._batch.databases.queries import write_rows
from twofold._batch.objects import is_object
from twofold._batch.opening import LISTING
from twofold._batch.places import shown
from twofold._batch.sources.base import InputFile
from twofold._batch.sources.listing import expand_inputs, find_files
from twofold._batch.sources.spool import STDIN, Spool
from twofold._batch.sources.where import Where
from twofold._errors import UsageError

__all__ = ["input_files", "local_files", "shown_input"]


def input_files(
    given: str, where: Where | None, spool: Spool, *, input_format: str | None = None, begun: Any = None
) -> list[InputFile]:
    """The files to read; what cannot be read twice is spooled first.

    `begun`: the inputs of a run that began and is not finished: it goes on with the rows that it spooled.
    """
    if input_format is not None and given != STDIN:
        raise UsageError(
            f"--input-format says what - (standard input) holds; the name {shown(given)!r} says it itself."
        )
    if given == STDIN:
        return [spool.stdin(input_format)]
    if is_database(given):
        location = location_of(given)
        found = spool.found(location.shown(), begun)
        return [found or spool.rows(location.shown(), ".arrow", lambda file: write_rows(location, file))]
    if given.startswith(LISTING):
        from twofold._batch.sources.files import write_listing

        files = find_files(given.removeprefix(LISTING))
        listing = spool.rows(given, ".arrow", lambda file: write_listing(files, file))
        n_bytes = sum(file.identity[0] for file in files)
        return [InputFile(f"{LISTING}{listing.path}", listing.identity, given, digest=listing.digest, n_bytes=n_bytes)]
    return expand_inputs(given, where)


def local_files(given: str) -> list[str]:
    """The files of this machine that would be read; for an input that is none of these, nothing."""
    if given == STDIN or is_database(given):
        return []
    pattern = given.removeprefix(LISTING)
    if is_object(pattern):
        return []
    return [file.path for file in (find_files(pattern) if given.startswith(LISTING) else expand_inputs(given))]


def shown_input(given: str) -> str:
    """The input's name, for people and records: without user and password."""
    return location_of(given).shown() if is_database(given) else shown(given)
