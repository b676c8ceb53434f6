"""JSON lines on standard input, output and error: a stream that can be tried with a pipe."""

from __future__ import annotations

import os
import select
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from itertools import count, islice
from typing import Final

from twofold._errors import InputError, OutputError
from twofold._stream.messages import Letter, Mark, Message, Source, Taken

__all__ = ["LinesSink", "LinesSource"]

READ_BYTES: Final = 1 << 18
LINE_BYTES: Final = 64 << 20


class LinesSource:
    """A message a line. The id of a message is the number of its line, from 1; nothing is remembered."""

    def __init__(self, descriptor: int | None = None) -> None:
        self._descriptor = sys.stdin.fileno() if descriptor is None else descriptor
        self._rest = b""
        self._lines: deque[bytes] = deque()
        self._numbers = count(1)
        self._over = False
        self.before_loss: Callable[[], object] = lambda: None

    def receive(self, most: int, wait_s: float) -> Taken | None:
        if not most:
            time.sleep(wait_s)
            return Taken(())
        if len(self._lines) < most:
            self._read(0 if self._lines else wait_s)
        lines = list(islice(self._lines, most))
        if not lines:
            return None if self._over else Taken(())
        now = time.time()
        found = []
        for line in lines:
            self._lines.popleft()
            number = next(self._numbers)
            if line and not line.isspace():
                found.append(Message(line, str(number), now))
        return Taken(found)

    def _read(self, wait_s: float) -> None:
        """What is there now; a line that is not complete stays."""
        if self._over or not select.select([self._descriptor], [], [], wait_s)[0]:
            return
        try:
            data = os.read(self._descriptor, READ_BYTES)
        except OSError as error:
            raise InputError(f"standard input cannot be read: {error.strerror}.") from error
        if not data:
            self._over = True
            if self._rest:
                self._lines.append(self._rest)
            self._rest = b""
            return
        if len(self._rest) > LINE_BYTES:
            raise InputError("a line of standard input is longer than 64 MiB. Write a message a line.")
        *lines, self._rest = (self._rest + data).split(b"\n")
        self._lines.extend(lines)

    def commit(self, mark: Mark) -> None:
        pass

    def lag(self) -> int | None:
        return None

    def close(self) -> None:
        pass


class LinesSink:
    """A line a letter; it is acknowledged when it is written."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def send(self, letters: Sequence[Letter], source: Source | None = None, mark: Mark = None) -> bool:  # noqa: ARG002
        data = memoryview(b"".join([letter.value + b"\n" for letter in letters]))
        try:
            while data:
                data = data[os.write(self._descriptor, data) :]
        except BrokenPipeError:
            raise
        except OSError as error:
            raise OutputError(f"the answers cannot be written: {error.strerror}.") from error
        return False

    def close(self) -> None:
        pass
