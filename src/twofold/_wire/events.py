"""Server-Sent Events, whoever brings their bytes."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Event", "EventReader"]


class Event(NamedTuple):
    kind: str  # "" where none is named
    data: bytes


class EventReader:
    """Takes the bytes of a stream as they come; gives the events that are complete."""

    def __init__(self) -> None:
        self._rest = b""
        self._kind = ""
        self._data: list[bytes] = []

    def feed(self, data: bytes) -> list[Event]:
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()
        found = []
        for ended in lines:
            line = ended.removesuffix(b"\r")
            if not line:
                if self._data:
                    found.append(Event(self._kind, b"\n".join(self._data)))
                self._kind, self._data = "", []
                continue
            name, _, value = line.partition(b":")  # a comment has no name
            if name == b"data":
                self._data.append(value.removeprefix(b" "))
            elif name == b"event":
                self._kind = value.removeprefix(b" ").decode("utf-8", "replace")
        return found
