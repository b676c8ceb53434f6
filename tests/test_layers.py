"""The import direction of docs/architecture.md, and one home for each third-party package."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "twofold"

# Where each third-party package may be imported. numpy, pyarrow and msgspec are at home everywhere.
HOMES = {
    "click": ("_cli",),
    "confluent_kafka": ("_stream.kafka",),
    "cronsim": ("_jobs.times",),
    "google": ("_realtime.grpc",),
    "httptools": ("_realtime", "_load", "_wire"),
    "obstore": ("_batch",),
    "nats": ("_stream.nats",),
    "onnxruntime": ("_flavors.onnx",),
    "opentelemetry": ("_realtime.http.tracing",),
    "pandas": ("_signature", "_batch"),
    "polars": ("_signature", "_batch"),
    "psycopg": ("_batch.databases",),
    "pydantic": ("_signature",),
    "pyspark": ("spark",),
    "ray": ("_batch.executors.ray",),
    "rich": ("_cli", "_batch.progress", "_compare"),
    "starlette": ("_realtime.http",),
    "uvicorn": ("_realtime.http",),
    "zttp": ("_realtime.grpc",),
    "uvloop": ("_realtime", "_load.generator"),
}


def layers() -> list[list[str]]:
    """The block of docs/architecture.md that is marked `layers`: a line a layer, siblings beside each other."""
    text = (ROOT / "docs" / "architecture.md").read_text()
    block = re.search(r"```layers\n(.*?)```", text, re.DOTALL)
    assert block, "docs/architecture.md has no ```layers block"
    return [line.split() for line in block.group(1).splitlines() if line.strip()]


def module_name(path: Path) -> str:
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def modules() -> dict[str, Path]:
    return {module_name(path): path for path in sorted(SOURCE.rglob("*.py"))}


@cache
def imports(path: Path) -> list[tuple[int, str]]:
    """Every imported name of a file with its line, those inside functions and type-checking blocks included."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found += [(node.lineno, f"{node.module}.{alias.name}") for alias in node.names]
    return found


def own_imports(path: Path, known: dict[str, Path]) -> Iterator[tuple[int, str]]:
    for line, name in imports(path):
        if name == "twofold" or name.startswith("twofold."):
            target = name.removeprefix("twofold").removeprefix(".")
            while target not in known:
                target = target.rpartition(".")[0]
            yield line, target


def test_every_module_stands_in_the_order() -> None:
    placed = {name for layer in layers() for name in layer} | {"", "__main__", "spark", "testing"}
    found = {name.partition(".")[0] for name in modules()}
    assert found <= placed, f"not in docs/architecture.md's layers: {sorted(found - placed)}"


def test_imports_point_upwards() -> None:
    rank = {name: number for number, layer in enumerate(layers()) for name in layer}
    wrong = []
    for name, path in modules().items():
        room = name.partition(".")[0]
        if room not in rank:
            continue
        for line, target in own_imports(path, modules()):
            other = target.partition(".")[0]
            if other != room and not (other in rank and rank[other] < rank[room]):
                wrong.append(f"{path.relative_to(ROOT)}:{line} imports {target or 'the package itself'}")
    assert not wrong, "\n".join(wrong)


def test_no_cycles() -> None:
    known = modules()
    graph = {
        name: {target for _, target in own_imports(path, known) if target != name}
        for name, path in known.items()
        if name  # the package itself imports lazily from anything but _cli
    }
    for name, targets in graph.items():
        targets.discard("")
        package = name.rpartition(".")[0]
        assert package not in targets, f"{name} imports its own package {package}"
    TopologicalSorter(graph).prepare()


@pytest.mark.parametrize("package", sorted(HOMES))
def test_third_party_packages_have_one_home(package: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line}"
        for name, path in modules().items()
        for line, imported in imports(path)
        if imported.partition(".")[0] == package and not name.startswith(HOMES[package])
    ]
    assert not wrong, f"{package} belongs in {HOMES[package]}: {wrong}"
