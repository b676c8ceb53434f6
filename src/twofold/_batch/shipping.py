"""A model as a parcel for machines that do not see its folder: an archive of the files that its version counts.

pack(model) -> Parcel      where the model is loaded: its sources, the local modules they import, its artifacts
unpack(parcel, archive)    where it is needed: the same files, as they lay to each other, below a folder of that machine

What is installed is not shipped: the same packages, in the same versions, must be there, or answers could differ.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import sysconfig
import tempfile
import time
import zipfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from twofold._errors import ModelError
from twofold._fingerprint import version_of
from twofold._model import Model
from twofold._reference import ModelRef, moved_artifacts

__all__ = ["Parcel", "open_parcel", "pack", "refuse_other_packages", "unpack"]

KEPT_S = 30 * 86400.0
"""An unpacked model that nobody asked for so long is taken away."""


@dataclass(frozen=True)
class Parcel:
    """What an archive holds, as JSON. `ref` names the model as its own machine does; `origin` is the folder there that
    the archive's names are relative to; `files` are how many it has; `digest` is the archive's; `packages` are the
    versions of what the model imports."""

    ref: dict[str, Any]
    origin: str
    files: int
    digest: str
    packages: dict[str, str]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> Parcel:
        return cls(**found)


def pack(model: Model, archive: Path) -> Parcel:
    """Write the archive of a loaded model. ModelError for one that no other process can find."""
    if model.ref is None:
        raise ModelError(
            f"{model.name!r} was typed at a prompt or made inside a function, and no other machine can load it. Put it "
            "at the top of a file."
        )
    root = _import_root(model.ref)
    files = [path for path in model.sources.files.values() if not _is_installed(path)]
    places = [str(path.parent) for path in files] + ([str(root)] if root is not None else [])
    origin = os.path.commonpath(places) if places else ""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as target:
        for path in sorted(set(files)):
            entry = zipfile.ZipInfo(path.relative_to(origin).as_posix())  # of one date: one model, one digest
            with path.open("rb") as source, target.open(entry, "w", force_zip64=True) as copy:
                shutil.copyfileobj(source, copy, 1 << 20)
    with archive.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    ref = model.ref if model.ref.target.file is not None else replace(model.ref, folder=str(root or ""))
    packages = {name: version_of(name) for name in sorted(model.sources.packages)}
    return Parcel(ref.to_json(), origin, len(set(files)), digest, packages)


def _import_root(ref: ModelRef) -> Path | None:
    """The folder that the model is imported from; None where it is installed."""
    target = ref.target
    if target.file is not None:
        return target.file.parent
    file = Path(str(sys.modules[target.module].__file__)).resolve()
    if _is_installed(file):
        return None
    return file.parents[target.module.count(".") + (file.name == "__init__.py")]


def _is_installed(path: Path) -> bool:
    paths = sysconfig.get_paths()
    return any(path.is_relative_to(Path(paths[name]).resolve()) for name in ("purelib", "platlib"))


def unpack(parcel: Parcel, pieces: Iterable[bytes], home: Path | None = None) -> tuple[ModelRef, str]:
    """The model's files on this machine, unpacked once for all its processes: how it is named here, and the folder that
    stands for the parcel's `origin`. `pieces` are those of the archive, asked for only where they are needed."""
    home = home or _home()
    folder = home / parcel.digest[:32]
    if not folder.is_dir():
        _forget_old(home)
        making = Path(tempfile.mkdtemp(prefix="making-", dir=home))
        with (making / "archive.zip").open("wb") as target:
            for piece in pieces:
                target.write(piece)
        with zipfile.ZipFile(making / "archive.zip") as source:
            source.extractall(making / "files")
        try:
            os.rename(making / "files", folder)  # noqa: PTH104 (not over one that another process has made meanwhile)
        except OSError:
            if not folder.is_dir():
                raise
        shutil.rmtree(making, ignore_errors=True)
    os.utime(folder)
    return _ref_below(parcel, folder), str(folder)


def open_parcel(parcel: Parcel, pieces: Iterable[bytes]) -> ModelRef:
    """`unpack`, for a model that this very process is to load."""
    refuse_other_packages(parcel)
    ref, folder = unpack(parcel, pieces)
    moved_artifacts(parcel.origin, folder)
    return ref


def _ref_below(parcel: Parcel, folder: Path) -> ModelRef:
    ref = ModelRef.from_json(parcel.ref)
    moved = folder / Path(ref.folder).relative_to(parcel.origin) if ref.folder else None
    path, colon, name = ref.ref.rpartition(":") if ".py:" in ref.ref else (ref.ref, "", "")
    if Path(path).is_absolute():
        return replace(ref, ref=f"{folder / Path(path).relative_to(parcel.origin)}{colon}{name}")
    return replace(ref, folder=str(moved or ""))


def _home() -> Path:
    """A folder of this user alone: what lies in it is run."""
    owner = os.getuid() if hasattr(os, "getuid") else ""
    home = Path(tempfile.gettempdir()) / f"twofold-models-{owner}"
    home.mkdir(mode=0o700, exist_ok=True)
    found = home.stat()
    if hasattr(os, "getuid") and (home.is_symlink() or found.st_uid != os.getuid() or found.st_mode & 0o022):
        raise ModelError(f"{str(home)!r} is not a folder of this user alone, so no model is unpacked there. Remove it.")
    return home


def _forget_old(home: Path) -> None:
    for entry in home.iterdir():
        try:
            if entry.stat().st_mtime < time.time() - KEPT_S:
                shutil.rmtree(entry, ignore_errors=True)
        except FileNotFoundError:
            pass


def refuse_other_packages(parcel: Parcel) -> None:
    """ModelError where a package that the model imports has another version here than where it was packed."""
    differing = []
    for name, version in parcel.packages.items():
        found = version_of(name)
        if found != version:
            differing.append(f"{name} {found or '(not installed)'} instead of {version or 'none'}")
    if differing:
        raise ModelError(
            f"this machine has {', '.join(differing)}: answers could differ from those of the machine that started "
            "the run. Install the same versions on both.",
            packages=differing,
        )
