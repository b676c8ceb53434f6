"""The machine of a measurement: what its figures depend on, and nothing that names it."""

from __future__ import annotations

import os
import platform
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec

__all__ = ["Machine", "this_machine"]

PACKAGES = ("twofold", "fastapi", "httptools", "mosec", "msgspec", "numpy", "onnxruntime", "orjson", "pandas",
            "pyarrow", "starlette", "uvicorn", "uvloop")  # fmt: skip
LOOKS, LOOK_S = 40, 0.05


class Machine(msgspec.Struct, frozen=True):
    cores: int
    processor: str
    memory_gb: int
    system: str
    python: str
    packages: dict[str, str]
    load_before: float
    """Processes that wanted a core beside this one, on average over the two seconds before the benchmark began."""


def this_machine() -> Machine:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Machine(
        cores=cores,
        processor=_processor(),
        memory_gb=round(memory / 1e9),
        system=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
        packages=found,
        load_before=round(_running_beside(), 1),
    )


def _running_beside() -> float:
    """The average load of the system would be that of the benchmark before."""
    seen = []
    for _ in range(LOOKS):
        try:
            lines = Path("/proc/stat").read_text().splitlines()
        except OSError:
            return os.getloadavg()[0]
        seen.append(next(int(line.split()[1]) for line in lines if line.startswith("procs_running")) - 1)
        time.sleep(LOOK_S)
    return sum(seen) / LOOKS


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
