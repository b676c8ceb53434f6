"""What a load is sent to: a served model, found by its URL, and the bodies that ask it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from twofold._client.replies import Described, described, route
from twofold._errors import InputError
from twofold._load.rows import read_rows
from twofold._wire.connections import Connections
from twofold._wire.links import Until
from twofold._wire.steps import run

if TYPE_CHECKING:
    from twofold._signature import Signature

__all__ = ["Rows", "Target", "find_target", "is_url", "rows_for"]

DESCRIBE_S = 30.0


@dataclass(frozen=True, slots=True)
class Target:
    """`where` are the fields of a LoadPlan that say where to."""

    url: str
    model: Described
    where: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Rows:
    """What to send. `origin` says where the rows are from, for people; `unfit` rows were left out."""

    bodies: list[bytes]
    origin: str
    unfit: int = 0


def is_url(text: str) -> bool:
    """Whether this is a server, not a model: http://…, localhost:8000."""
    if "://" in text:
        return True
    host, colon, port = text.partition("/")[0].rpartition(":")
    return bool(colon and host) and port.isdecimal()


def find_target(url: str, *, model: str = "", ca: str = "") -> Target:
    """Ask the server what it serves. The API key is that of the environment, TWOFOLD_API_KEY."""
    key = os.environ.get("TWOFOLD_API_KEY", "")
    connections = Connections(url, api_key=key, ca=ca)
    try:
        document = run(connections.ask("GET", "/openapi.json", b"", Until(DESCRIBE_S)))
        found = described(document, connections.url, model)
    finally:
        connections.close()
    address = connections.address
    where = {
        "host": address.host,
        "port": address.port,
        "path": connections.path + route(model),
        "tls": address.tls is not None,
        "ca": ca,
        "headers": (("Authorization", f"Bearer {key}"),) if key else (),
    }
    return Target(connections.url, found, where)


def rows_for(model: Described, data: str, columns: Mapping[str, str], limit: int) -> Rows:
    """The first rows of `data`, or the model's example, or an invented one. InputError where there is none."""
    if data:
        found = read_rows(model.signature, data, columns=columns, limit=limit)
        if not found.typed:
            raise InputError(
                f"{data!r} has no row that fits the model, among the {found.seen} looked at. `twofold batch` says what "
                "is wrong with each of them.",
                path=data,
            )
        return Rows(found.bodies(model.signature), f"{len(found.typed):,} rows of {data}", found.unfit)
    if model.example is not None:
        return Rows([msgspec.json.encode(model.example)], "the model's example row")
    return Rows([_invented(model.signature)], "an invented row")


def _invented(signature: Signature) -> bytes:
    from twofold._profile import invented_row

    row = invented_row(signature)
    if row is None:
        raise InputError("No row can be invented for this model, and it has no example: give rows with --data FILE.")
    return msgspec.json.encode(signature.json_row(signature.inputs, row))
