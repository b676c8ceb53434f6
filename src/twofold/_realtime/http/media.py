"""Media types: what a request holds, and which form of an answer its client would like best (RFC 9110)."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

from twofold._realtime.http.problems import Refusal
from twofold._signature import Bool, Bytes, Date, Datetime, Field, Float, Int, Signature, Tensor

__all__ = [
    "ARROW",
    "BYTES",
    "CSV",
    "EVENTS",
    "JSON",
    "NPY",
    "Coding",
    "Form",
    "MediaType",
    "answer_forms",
    "best_coding",
    "best_form",
    "media_type",
    "only_bytes",
    "wants_events",
    "wants_json",
]

Form = Literal[
    "application/json",
    "application/vnd.apache.arrow.stream",
    "application/x-npy",
    "text/csv",
    "application/octet-stream",
]
JSON: Final = "application/json"
ARROW: Final = "application/vnd.apache.arrow.stream"
NPY: Final = "application/x-npy"
CSV: Final = "text/csv"
BYTES: Final = "application/octet-stream"
EVENTS: Final = "text/event-stream"

Coding = Literal["gzip", "zstd"]

PART = re.compile(r"""((?:[^,"]|"(?:[^"\\]|\\.)*")*)(?:,|$)""")
QUALITY = re.compile(r"(?:0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)")
LISTED = 64  # of a list in a header; what comes behind is not looked at


class MediaType(NamedTuple):
    name: str
    parameters: dict[str, str]


def media_type(text: str) -> MediaType:
    """`text/csv; charset=utf-8`, taken apart; all in lower case."""
    name, *rest = text.split(";")
    pairs = (part.partition("=") for part in rest)
    return MediaType(name.strip().lower(), {k.strip().lower(): v.strip(' "').lower() for k, _, v in pairs})


def best_form(accept: str | None, offers: Sequence[Form]) -> Form:
    """The offer that the header Accept likes best; where it likes several alike, the first of them.

    Raises Refusal (406) where it takes none of them.
    """
    if not accept or accept.strip() == "*/*":
        return offers[0]
    ranges = [(media_type(part).name, quality) for part, quality in _listed(accept)]
    best = max(offers, key=lambda offer: _liking(offer, ranges))
    if _liking(best, ranges) <= 0:
        raise Refusal("not_acceptable", f"The answer can be had as {', '.join(offers)}, not as {accept[:100]!r}.")
    return best


def wants_events(accept: str | None) -> bool:
    """Does the header Accept name events?"""
    return any(name.lower() == EVENTS and quality > 0 for name, quality in _listed(accept or ""))


@functools.lru_cache(maxsize=256)
def wants_json(accept: bytes) -> bool:
    """Is a JSON body answered in JSON, whatever else the model can give?"""
    if EVENTS.encode() in accept.lower():
        return False
    try:
        return best_form(accept.decode("latin-1"), (JSON, ARROW, CSV, NPY)) == JSON
    except Refusal:
        return False


def _liking(offer: str, ranges: Sequence[tuple[str, float]]) -> float:
    """The q of the most exact range that the offer is in."""
    exactness = (offer, f"{offer.partition('/')[0]}/*", "*/*")
    found = [(exactness.index(name), -q) for name, q in ranges if name in exactness]
    return -min(found)[1] if found else 0.0


def best_coding(accept: str | None) -> Coding | None:
    """How an answer may be compressed; None: not at all. zstd where the client takes it as gladly as gzip."""
    if not accept:
        return None
    named = {part.strip().lower(): quality for part, quality in _listed(accept)}
    otherwise = named.get("*", 0.0)
    zstd, gzip = (named.get(name, otherwise) for name in ("zstd", "gzip"))
    identity = named.get("identity", 0.0)
    if max(zstd, gzip) <= identity or max(zstd, gzip) <= 0:
        return None
    return "zstd" if zstd >= gzip else "gzip"


def _listed(text: str) -> list[tuple[str, float]]:
    """The members of a list with their q."""
    found = []
    for part in (match[1] for match in PART.finditer(text) if match[1].strip()):
        name, _, parameters = part.partition(";")
        q = media_type(f";{parameters}").parameters.get("q", "1")
        found.append((name.strip(), float(q) if QUALITY.fullmatch(q) else 0.0))
        if len(found) == LISTED:
            break
    return found


def answer_forms(signature: Signature, asked_in: Form) -> list[Form]:
    """The forms that answers can have, the one that is given where the client has no wish first."""
    able: list[Form] = [JSON, ARROW, CSV]
    if signature.outputs and all(map(_is_array, signature.outputs)):
        able.append(NPY)
    return sorted(able, key=lambda form: (form != asked_in, able.index(form)))


def _is_array(field: Field) -> bool:
    """Its answers are a column of numbers or times, with NaN or NaT for a null."""
    match field.type:
        case Bool() | Int():
            return not field.nullable
        case Float() | Datetime() | Date():
            return True
        case Tensor(item):
            return not field.nullable or isinstance(item, Float)
    return False


def only_bytes(signature: Signature) -> str | None:
    """The name of the only input, where that is bytes."""
    inputs = signature.inputs
    return inputs[0].name if len(inputs) == 1 and isinstance(inputs[0].type, Bytes) else None
