"""Good requests, spoilt: values exchanged, names lost, bytes cut, headers of all kinds."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, replace
from typing import Any

__all__ = ["JSON", "Sent", "bent", "mutated", "spoilt_text", "with_headers"]

Headers = dict[str, str]

JSON = "application/json"
TEXTS = ["NaN", "", "x" * 300, "\u00e9\ud800", "\0", "2024-05-06T07:08:09Z", "2024-13-45", "aGk=", "=", "EUR", "1e5"]
VALUES: list[Any] = [None, True, -1, 0, 7, 2**31, 2**53 + 1, 2**63, 2**64, -(2**63) - 1, 10**400, 1.5, -0.0, 5e-324]
VALUES += [1e308, [], {}, [[]], [7], {"a": 1}, [None], *TEXTS]
NAMES = ["number", "share", "text", "tags", "extra", "id", "inputs", "outputs", "parameters", "data", "shape", "name"]
NAMES += ["messages", "stream", "prompt", "items", "at", "", "__class__", "\ud800"]
TOKENS = [b"NaN", b"-Infinity", b"1e999", b"-0", b"0" * 40, b"9" * 5000, b"1" + b"0" * 400 + b".5", b"[" * 2000]
TOKENS += [
    b'{"a":' * 500,
    b"[" * 500 + b"]" * 500,
    b"\xff",
    b'"\\ud800"',
    b'"\xc3"',
    b"\xef\xbb\xbf",
    b"\0",
    b"//",
    b"'a'",
]
TOKENS += [b"null", b"true", b"1.", b".5", b"+1", b"0x10", b"1_000", b",", b"}", b"]", b'"', b"\\", b"1e-999999999"]
TYPES = [
    JSON,
    "application/json; charset=utf-8",
    "application/json; charset=latin-1",
    "text/csv",
    "text/csv;header=absent",
]
TYPES += ["application/x-npy", "application/vnd.apache.arrow.stream", "application/octet-stream", "text/plain", "", "/"]
TYPES += ["image/png", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded", "\xff", "a" * 3000]
ACCEPTS = ["*/*", JSON, "text/csv", "application/x-npy", "application/vnd.apache.arrow.stream", "text/event-stream"]
ACCEPTS += [
    "text/*;q=0.5, application/json;q=0.1",
    "application/json;q=0",
    "text/html",
    "*/*;q=0",
    "a/b;q=",
    ",;q=,",
    ";",
]
ACCEPTS += [
    "text/csv;q=0.9, application/x-npy;q=1.000",
    "*/*;q=2",
    'text/csv;x="a,b;q=1\\"";q=0.3',
    "text/csv;q=-1",
    "\xff",
]
ACCEPTS += ["*/*," * 500, 'a;"' * 300, "text/event-stream;q=0, */*", "APPLICATION/JSON", "*", "application/*"]
OTHERS: list[tuple[str, list[str]]] = [
    ("Content-Type", TYPES),
    ("Accept", ACCEPTS),
    ("Accept-Encoding", ["gzip", "zstd", "zstd;q=0, *", "identity;q=0, *;q=0", "br", ";q", "gzip;q=1e3", "*", "\xff"]),
    ("Content-Encoding", ["gzip", "zstd", "identity", "br", "gzip, gzip", "x-gzip", "deflate", "", "\xff"]),
    ("X-Deadline-Ms", ["1", "2", "5", "1000", "0", "-1", "1e3", "", "999999999", "9999999999", "\xb2", "1, 2", " 5 "]),
    ("X-Request-Id", ["a", "", "a b", "x" * 128, "x" * 129, '"', "\\", "\xe9", "a,b", "\t"]),
    ("Inference-Header-Content-Length", ["0", "1", "-1", "10", "99999999", "9" * 30, "x", "", "\xb2", "1.0"]),
    ("Authorization", ["Bearer x", "Basic eDp4", "bearer", "\xff"]),
    ("Origin", ["null", "http://localhost", "\xff"]),
    ("Cookie", ["a=b", "\xff"]),
    ("Range", ["bytes=0-1"]),
    ("If-None-Match", ["*"]),
    ("Expect", ["100-continue", "nothing"]),
]


@dataclass(frozen=True)
class Sent:
    """One request."""

    path: str
    body: bytes
    headers: Headers

    def written(self) -> bytes:
        lines = [f"POST {self.path} HTTP/1.1", "Host: fuzz", f"Content-Length: {len(self.body)}"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + self.body


def mutated(value: Any, chance: random.Random, odds: float = 0.08) -> Any:
    """The value with some of its parts exchanged, left out, renamed or doubled."""
    if chance.random() < odds:
        return chance.choice(VALUES)
    if isinstance(value, dict):
        found = {}
        for key, inner in value.items():
            if chance.random() < odds / 2:
                continue
            found[chance.choice(NAMES) if chance.random() < odds / 2 else key] = mutated(inner, chance, odds)
        return found
    if isinstance(value, list):
        found_list = [mutated(inner, chance, odds) for inner in value if chance.random() > odds / 2]
        return found_list * 2 if chance.random() < odds / 2 else found_list
    if isinstance(value, int) and not isinstance(value, bool) and chance.random() < odds:
        return chance.choice([-1, 0, 1, 3, 2**31, 2**63, 10**9])
    return value


def bent(body: bytes, chance: random.Random, odds: float = 0.34) -> bytes:
    """The body, sometimes with bytes exchanged, cut or doubled."""
    if not body or chance.random() > odds:
        return body
    at = chance.randrange(len(body))
    match chance.randrange(5):
        case 0:
            return body[:at]
        case 1:
            return body[:at] + bytes((chance.randrange(256),)) + body[at + 1 :]
        case 2:
            return body[:at] + body[at : at + 9] * 2 + body[at + 1 :]
        case 3:  # a number that stands there as four bytes
            return (
                body[:at] + chance.choice([b"\xff" * 4, b"\0" * 4, b"\xff\xff\xff\x7f", b"\x01\0\0\0"]) + body[at + 4 :]
            )
        case _:
            return body[:at] + body[at + chance.randint(1, 16) :]


def spoilt_text(value: Any, chance: random.Random, odds: float = 0.08) -> bytes:
    """The value as JSON; sometimes with what is hardly JSON, or none."""
    text = json.dumps(mutated(value, chance, odds), ensure_ascii=chance.random() < 0.7).encode("utf-8", "surrogatepass")
    if chance.random() < 0.1:
        text = text.replace(b"{", chance.choice([b'{"number":1,', b'{"\xff":1,', b'{"text":"a","text":7,']), 1)
    if chance.random() < 0.2:
        at = chance.randrange(len(text))
        text = text[:at] + chance.choice(TOKENS) + text[at + chance.randrange(3) :]
    return bent(text, chance, 0.2)


def with_headers(sent: Sent, chance: random.Random) -> Sent:
    """The request, sometimes with other or more headers."""
    if chance.random() > 0.25:
        return sent
    headers = dict(sent.headers)
    for _ in range(chance.randint(1, 3)):
        name, values = chance.choice(OTHERS)
        headers[name] = chance.choice(values)
    if chance.random() < 0.1:
        headers.pop("Content-Type", None)
    return replace(sent, headers=headers)
