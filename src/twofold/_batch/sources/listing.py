"""Which files an input is: a file, a folder or a glob, sorted by path, of one format."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from twofold._batch.formats import find_format, format_of
from twofold._batch.places import Identity, identity_of
from twofold._batch.sources.base import InputFile
from twofold._batch.sources.partitions import in_partitions, partition_of, passing_partitions
from twofold._batch.sources.where import Where
from twofold._errors import InputError

__all__ = ["Found", "expand_inputs", "find_files", "some_of"]

SHOWN_NAMES = 5
UNTYPED = ("csv",)


@dataclass(frozen=True, slots=True)
class Found:
    """A file that is there: its path or URL, the path below the folder that was given, and its state."""

    path: str
    below: str
    identity: Identity


def expand_inputs(pattern: str | Path, where: Where | None = None) -> list[InputFile]:
    """The files of an input, sorted by path: a file, a folder (searched to the bottom) or a glob.

    In a folder names that begin with `_` or `.` are skipped, folders too. Folders named `column=value` say what a
    column is in all files below them; files that `where` rules out by that are left away. InputError when nothing is
    there, or when the files are of more than one format.
    """
    given = str(pattern)
    found = find_files(given)
    _refuse_mixed(given, [file.path for file in found], alone=len(found) == 1 and found[0].below == "")
    files = [InputFile(file.path, file.identity, constants=partition_of(file.below)) for file in found]
    files = in_partitions(given, files, text=format_of(files[0].path).name in UNTYPED)
    if where is None:
        return files
    return passing_partitions(files, where) or files[:1]  # one file says which columns there are


def find_files(given: str) -> list[Found]:
    """The files of a folder or glob, sorted by path; one file is below nothing."""
    root = Path(given)
    if root.is_dir():
        paths = [path for path in sorted(root.rglob("*")) if path.is_file() and not _hidden(path, root)]
        if not paths:
            raise InputError(
                f"the input folder {given!r} holds no file (names beginning with _ or . are skipped).", path=given
            )
    elif root.exists():
        return [Found(str(root), "", identity_of(str(root)))]
    elif glob.has_magic(given):
        found = [Path(name) for name in sorted(glob.glob(given, recursive=True))]  # noqa: PTH207  (absolute too)
        paths = [path for path in found if path.is_file()]
        root = _fixed_part(root)
        if not paths:
            raise InputError(
                f"no file matches the input {given!r}. Check the pattern, and quote it so that the shell "
                "does not expand it.",
                path=given,
            )
    else:
        raise InputError(f"the input {given!r} is not there. Check the path.", path=given)
    return [Found(str(path), path.relative_to(root).as_posix(), identity_of(str(path))) for path in paths]


def _hidden(path: Path, root: Path) -> bool:
    return any(part.startswith(("_", ".")) for part in path.relative_to(root).parts)


def _fixed_part(pattern: Path) -> Path:
    """The folders of a glob before the first one with a wildcard."""
    parts = pattern.parts
    first = next(at for at, part in enumerate(parts) if glob.has_magic(part))
    return Path(*parts[:first])


def _refuse_mixed(given: str, paths: Sequence[str], *, alone: bool) -> None:
    """All files are of one format, as their names say; else an InputError, or a UsageError for a file given `alone`."""
    if alone:
        format_of(paths[0])
        return
    unknown = [path for path in paths if find_format(path) is None]
    if unknown:
        raise InputError(
            f"the input {given!r} holds files whose names do not say which format they are: "
            f"{some_of(unknown)}. Move them away, or narrow the input with a pattern such as '*.parquet'.",
            path=given,
            files=unknown,
        )
    first: dict[str, str] = {}
    for path in paths:
        first.setdefault(format_of(path).name, path)
    if len(first) > 1:
        named = ", ".join(f"{name} ({path})" for name, path in sorted(first.items()))
        raise InputError(
            f"the input {given!r} mixes formats: {named}. Narrow it with a pattern such as '*.parquet'.",
            path=given,
            formats=sorted(first),
        )


def some_of(names: Sequence[str]) -> str:
    """The first of these names, for a message."""
    more = len(names) - SHOWN_NAMES
    return ", ".join(names[:SHOWN_NAMES]) + (f" and {more} more" if more > 0 else "")
