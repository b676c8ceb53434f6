"""pyarrow without pandas, until somebody imports pandas.

Where pandas is installed, pyarrow imports it at its first conversion, to see whether a value is a Series: 0.5 s for
nothing in a process that holds none. It looks once, and again when it is asked for a DataFrame. So: it looks while
there is none to be found, and is asked again as soon as somebody really imports pandas.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

__all__ = ["import_pyarrow"]


_done: list[bool] = []


class _Pandas:
    """An import finder: hides pandas while pyarrow looks; tells pyarrow when it is imported after all."""

    hidden = True

    def find_spec(
        self,
        name: str,
        path: Sequence[str] | None = None,  # noqa: ARG002
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        if name != "pandas":
            return None
        if self.hidden:
            raise ModuleNotFoundError("pandas", name="pandas")
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec("pandas")
        if spec is not None and spec.loader is not None:
            loader: Any = spec.loader
            execute = loader.exec_module

            def execute_and_tell(module: ModuleType) -> None:
                execute(module)
                _look_again()

            loader.exec_module = execute_and_tell
        return spec


def import_pyarrow() -> None:
    """Import pyarrow; pandas comes with it only where it is there already. Does nothing the second time."""
    if _done or "pandas" in sys.modules:
        return
    _done.append(True)
    finder = _Pandas()
    sys.meta_path.insert(0, finder)
    try:
        import pyarrow as pa

        pa.scalar(0)
    finally:
        finder.hidden = False


def _look_again() -> None:
    import pyarrow as pa

    shim = getattr(pa.lib, "_pandas_api", None)
    if shim is not None:
        shim.pd  # noqa: B018 (asking for it makes pyarrow look)
