"""Whose line an exception comes from: the user's own, not that of a library deep below or of twofold above."""

from __future__ import annotations

import re
import sysconfig
import traceback
from functools import lru_cache
from pathlib import Path
from types import TracebackType

__all__ = ["is_out_of_memory", "one_line", "place_of", "said", "traceback_text"]

OURS = str(Path(__file__).parent)
SHOWN_CHARACTERS = 500
# What runtimes say whose exceptions are of no class of their own for it: onnxruntime, torch, C++.
NO_MEMORY = re.compile(r"out of memory|failed to allocate memory|cannot allocate memory|bad[_ ]alloc", re.IGNORECASE)


def place_of(error: BaseException) -> str:
    """`file.py:12`, the deepest frame in a file of the user's; "" where there is none.

    When all of it lies in installed packages (an installed model), the first frame below twofold's.
    """
    own = entered = ""
    frame: TracebackType | None = error.__traceback__
    while frame is not None:
        file = frame.tb_frame.f_code.co_filename
        where = _where(file)
        if where == "ours":
            entered = ""
        elif where == "user":
            own = f"{Path(file).name}:{frame.tb_lineno}"
        elif where == "library" and not entered:
            entered = f"{Path(file).name}:{frame.tb_lineno}"
        frame = frame.tb_next
    return own or entered


@lru_cache(maxsize=4096)
def _where(file: str) -> str:
    if file.startswith("<"):
        # what a notebook or the prompt runs is the user's; frozen modules of Python are nobody's
        return "user" if file.startswith(("<stdin>", "<string>", "<ipython", "<python-input")) else "none"
    if file.startswith(OURS):
        return "ours"
    paths = sysconfig.get_paths()
    libraries = [paths[name] for name in ("purelib", "platlib", "stdlib", "platstdlib")]
    return "library" if any(Path(file).is_relative_to(folder) for folder in libraries) else "user"


def one_line(error: BaseException) -> str:
    """The exception's own text on one line of at most 500 characters."""
    try:
        text = " ".join(str(error).split())
    except Exception:  # an exception whose text cannot be made must not hide itself
        text = "(its text could not be made)"
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 1] + "…"


def is_out_of_memory(error: BaseException) -> bool:
    """Whether it says that memory ran out."""
    return isinstance(error, MemoryError) or (
        isinstance(error, Exception) and NO_MEMORY.search(one_line(error)) is not None
    )


def said(error: BaseException) -> str:
    """`ZeroDivisionError: division by zero (parity.py:8)`."""
    text = one_line(error)
    kind = type(error).__name__
    place = place_of(error)
    return (f"{kind}: {text}" if text else kind) + (f" ({place})" if place else "")


def traceback_text(error: BaseException) -> str:
    """The whole traceback, as Python prints it."""
    return "".join(traceback.format_exception(error))
