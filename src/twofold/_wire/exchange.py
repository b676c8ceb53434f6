"""Reading one HTTP answer, whoever brings its bytes."""

from __future__ import annotations

from dataclasses import dataclass

import httptools
import msgspec

__all__ = ["ConnectionEnded", "Exchange", "NotHttp", "Reply", "problem_code"]


class NotHttp(Exception):
    """What came is no HTTP."""


class ConnectionEnded(Exception):
    """The connection ended before the answer did."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A complete answer. The names of its headers are in lower case."""

    status: int
    reason: str
    headers: dict[str, str]
    body: bytes


class _Problem(msgspec.Struct):
    code: str = ""


_decode_problem = msgspec.json.Decoder(_Problem).decode


def problem_code(body: bytes) -> str:
    """What problem details say in one word; "" for a body that is none."""
    try:
        return _decode_problem(body).code
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""


class Exchange:
    """Takes an answer's bytes as they come."""

    def __init__(self) -> None:
        self.status = 0  # until its head is complete
        self.begun = False
        self.complete = False
        self.keep_alive = False
        self.headers: dict[str, str] = {}
        self._reason = b""
        self._parts: list[bytes] = []
        self._parser = httptools.HttpResponseParser(self)

    def feed(self, data: bytes) -> None:
        """b"" says that the connection has ended. Raises NotHttp and ConnectionEnded."""
        if not data:
            if not self.status or "content-length" in self.headers or "transfer-encoding" in self.headers:
                raise ConnectionEnded
            self.complete = True  # its end was the end of the connection
            return
        self.begun = True
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            raise NotHttp from error

    def taken(self) -> bytes:
        """What has come of the body since this was last asked."""
        parts, self._parts = self._parts, []
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def reply(self) -> Reply:
        return Reply(self.status, self._reason.decode("latin-1"), self.headers, self.taken())

    # What the parser calls

    def on_status(self, reason: bytes) -> None:
        self._reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()

    def on_body(self, part: bytes) -> None:
        self._parts.append(part)

    def on_message_complete(self) -> None:
        self.complete = True
        self.keep_alive = self._parser.should_keep_alive()
