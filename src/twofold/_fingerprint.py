"""The version of a model: 12 hex digits over everything that can change its answers."""

from __future__ import annotations

import ast
import hashlib
import os
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from twofold._reference import artifacts_of

__all__ = ["Sources", "digest_of", "fingerprint", "sources_of"]

DIGITS = 12
CHUNK_BYTES = 1 << 20


@dataclass
class Sources:
    """What a model is made of: its files by label, the import names of the packages it computes with, and `code`: which
    of the models in its file it is, or its source where there is no file."""

    files: dict[str, Path] = field(default_factory=dict)
    packages: set[str] = field(default_factory=set)
    code: bytes = b""

    def add_artifacts(self, artifacts: Iterable[Path], root: Path) -> None:
        """Artifacts count by what is in them and by where they lie, seen from `root`."""
        for path in artifacts:
            inside = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
            for file in inside:
                self.files[f"artifact {_seen_from(root, file)}"] = file


def _seen_from(root: Path, file: Path) -> str:
    try:
        return Path(os.path.relpath(file, root)).as_posix()
    except ValueError:  # another drive
        return file.as_posix()


def digest_of(sources: Sources) -> str:
    """Hex digits over the bytes of the files and the versions of the packages, as they are now."""
    parts = {f"package {name}": version_of(name).encode() for name in sources.packages}
    parts |= {f"file {label}": _digest_of_file(file) for label, file in sources.files.items()}
    return _digest({"code": sources.code, **parts})


def fingerprint(digest: str, facts: Mapping[str, object]) -> str:
    """12 hex digits over the digest of a model's sources and what else changes its answers (settings, say)."""
    return _digest({"digest": digest.encode(), **{name: repr(fact).encode() for name, fact in facts.items()}})[:DIGITS]


def _digest(parts: Mapping[str, bytes]) -> str:
    digest = hashlib.sha256()
    for label in sorted(parts):
        digest.update(f"{label}\0{len(parts[label])}\0".encode())
        digest.update(parts[label])
    return digest.hexdigest()


def _digest_of_file(file: Path) -> bytes:
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while chunk := stream.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.digest()


@lru_cache(maxsize=256)
def version_of(package: str) -> str:
    """The installed version of the distribution that holds this import name; "" where there is none."""
    from importlib import metadata  # takes 30 ms, and a light parent never gets here

    for name in (package, _OTHER_NAMES.get(package, package)):
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    found = metadata.packages_distributions().get(package, [])
    return ", ".join(f"{name} {metadata.version(name)}" for name in sorted(set(found)))


# Looked up first: the search through all that is installed takes a tenth of a second.
_OTHER_NAMES = {"PIL": "pillow", "cv2": "opencv-python", "skimage": "scikit-image", "sklearn": "scikit-learn"}


def sources_of(file: Path, module: str, root: Path) -> Sources:
    """The source of a module and of the local modules it imports, directly or not; found by reading, not by running.

    `module` is its dotted name as seen from the folder `root`. Local is what lies below `root` (in a folder of
    installed packages: only the module's own package); everything else counts by its package's version.
    """
    own_package = module.partition(".")[0] if _is_library(root) else ""
    sources = Sources()
    waiting = [(file.resolve(), module)]
    seen: set[Path] = set()
    while waiting:
        path, name = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        sources.files[_seen_from(root, path)] = path
        sources.add_artifacts(artifacts_of(path), root)
        for imported in _imports(path, name):
            top = imported.partition(".")[0]
            local = [] if own_package and top != own_package else list(_local_files(root, imported))
            if local:
                waiting.extend(local)
            elif top not in sys.stdlib_module_names and top != "twofold" and not _stands_in(root, top):
                sources.packages.add(top)
    return sources


def _is_library(folder: Path) -> bool:
    paths = sysconfig.get_paths()
    return any(folder == Path(paths[name]).resolve() for name in ("purelib", "platlib"))


def _imports(path: Path, module: str) -> Iterator[str]:
    """The dotted names that a source file imports, those inside functions included; `from a import b` gives `a.b`."""
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError, OSError):
        return  # importing it fails as well, and says why
    package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            start = ".".join([*base, *(node.module or "").split(".")]).strip(".")
            yield from (f"{start}.{alias.name}".strip(".") for alias in node.names)


def _local_files(root: Path, dotted: str) -> Iterator[tuple[Path, str]]:
    """The files below `root` that importing this name runs: the packages on the way, and the module."""
    folder = root
    parts = dotted.split(".")
    for depth, part in enumerate(parts, 1):
        name = ".".join(parts[:depth])
        for candidate in (folder / part / "__init__.py", folder / f"{part}.py"):
            if candidate.is_file():
                yield candidate.resolve(), name
                break
        folder = folder / part


def _stands_in(root: Path, top: str) -> bool:
    """A folder of modules without an `__init__.py` is local, too."""
    return (root / top).is_dir() and any((root / top).glob("*.py"))
