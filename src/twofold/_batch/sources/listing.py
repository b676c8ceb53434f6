"""Which files an input is: a file, a folder or a glob, sorted by path, of one format."""

from __future__ import annotations

import datetime as dt
import glob
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twofold._batch.formats import find_format, format_of
from twofold._batch.objects import is_object, open_objects
from twofold._batch.opening import Identity, asking, identity_of, object_identity
from twofold._batch.places import shown
from twofold._batch.sources.base import InputFile
from twofold._batch.sources.partitions import in_partitions, partition_of, passing_partitions
from twofold._batch.sources.where import Where
from twofold._errors import InputError

__all__ = ["Found", "expand_inputs", "find_files", "some_of"]

SHOWN_NAMES = 5
UNTYPED = ("csv",)
EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


@dataclass(frozen=True, slots=True)
class Found:
    """A file that is there: its path or URL, the path below the folder that was given, and its state."""

    path: str
    below: str
    identity: Identity
    modified: dt.datetime


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
    if is_object(given):
        return find_objects(given)
    root = Path(given)
    if root.is_dir():
        paths = [path for path in sorted(root.rglob("*")) if path.is_file() and not _hidden(path, root)]
        if not paths:
            raise InputError(
                f"the input folder {given!r} holds no file (names beginning with _ or . are skipped).", path=given
            )
    elif root.exists():
        return [_found(root, "")]
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
    return [_found(path, path.relative_to(root).as_posix()) for path in paths]


def _found(path: Path, below: str) -> Found:
    identity = identity_of(str(path))
    return Found(str(path), below, identity, EPOCH + dt.timedelta(microseconds=identity[1] // 1000))


def find_objects(given: str) -> list[Found]:
    """The objects of a folder or glob in an object store, sorted by name; a name that is one object's is that one."""
    import obstore

    with asking(given):
        whole = not glob.has_magic(given) and not given.endswith("/")
        if whole:
            store, name = open_objects(given)
            try:
                head: Any = obstore.head(store, name) if name else None
            except FileNotFoundError:
                head = None
            if head is not None:
                return [Found(given, "", object_identity(head), head["last_modified"])]
        pattern, folder = "", given.rstrip("/")
        if glob.has_magic(given):
            folder, pattern = _cut_pattern(given)
        store, _ = open_objects(f"{folder}/*")
        listed: list[Any] = [one for page in obstore.list(store) for one in page]
    fits = glob_regex(pattern)
    found = [
        Found(f"{folder}/{one['path']}", one["path"], object_identity(one), one["last_modified"])
        for one in listed
        if not one["path"].endswith("/")
        and (fits.fullmatch(one["path"]) if pattern else not _hidden_below(one["path"].split("/")))
    ]
    if not found:
        what = "no object matches" if pattern else "no object has the name, or lies below the folder, of"
        raise InputError(f"{what} the input {shown(given)!r}. Check its name.", path=shown(given))
    return sorted(found, key=lambda file: file.path)


def _cut_pattern(given: str) -> tuple[str, str]:
    """A glob as the folder before its first wildcard, and the rest."""
    parts = given.split("/")
    first = next(at for at, part in enumerate(parts) if glob.has_magic(part))
    return "/".join(parts[:first]), "/".join(parts[first:])


def glob_regex(pattern: str) -> re.Pattern[str]:
    """What a glob matches: * and ? within a name, ** any folders; like the shell, no name that begins with a dot."""
    words = []
    for part in re.findall(r"\*\*/|\*|\?|\[!?[^\]]+\]|.", pattern, re.DOTALL):
        if part == "**/":
            words.append("(?:[^/.][^/]*/)*")
        elif part == "*":
            words.append("[^/]*")
        elif part == "?":
            words.append("[^/]")
        elif part.startswith("[") and len(part) > 2:
            words.append(part.replace("[!", "[^"))
        else:
            words.append(re.escape(part))
    return re.compile("".join(words))


def _hidden(path: Path, root: Path) -> bool:
    return _hidden_below(path.relative_to(root).parts)


def _hidden_below(parts: Sequence[str]) -> bool:
    return any(part.startswith(("_", ".")) for part in parts)


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
