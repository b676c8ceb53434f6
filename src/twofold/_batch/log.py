"""The log of a run, for people: a line a fact, kept beside the record over all starts.

2026-11-24T15:46:24.031Z began rows=1000000 splits=8 done_before=0 host=gpu1 process=4711
2026-11-24T15:46:26.418Z split index=0 rows=131072 quarantined=0
2026-11-24T15:46:41.977Z stopped why="KeyboardInterrupt"
"""

from __future__ import annotations

import datetime as dt
import json
import re
from pathlib import Path
from typing import Any

__all__ = ["RunLog"]

PLAIN = re.compile(r"[\w.:/+-]+")
WHY_CHARACTERS = 500


class RunLog:
    """Appends; a log that cannot be written stops nothing. No path: nothing is kept."""

    def __init__(self, path: Path | None) -> None:
        self._path = path

    def note(self, event: str, **facts: Any) -> None:
        if self._path is None:
            return
        now = dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3]
        words = [f"{name}={_word(str(value)[:WHY_CHARACTERS])}" for name, value in facts.items()]
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(" ".join([f"{now}Z", event, *words]) + "\n")
        except OSError:
            pass


def _word(value: str) -> str:
    return value if PLAIN.fullmatch(value) else json.dumps(value, ensure_ascii=False)
