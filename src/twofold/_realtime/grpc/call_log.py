"""A line of the access log for each gRPC call, when it has been answered."""

from __future__ import annotations

from typing import Final

from twofold._realtime.grpc.calls import Call
from twofold._realtime.http.access_log import client_of, write_line

__all__ = ["log_call"]

CODES: Final = (
    "ok", "client_gone", "unknown", "invalid_argument", "deadline_exceeded", "not_found", "already_exists",
    "permission_denied", "resource_exhausted", "failed_precondition", "aborted", "out_of_range", "unimplemented",
    "internal", "unavailable", "data_loss", "unauthenticated",
)  # fmt: skip


def log_call(call: Call, status: int, n_bytes: int, address: object, seconds: float) -> None:
    """`status`: of gRPC; 1 where the client went away. `address`: the client's."""
    write_line(
        {
            "method": "gRPC",
            "path": call.path.decode("latin-1"),
            "status": status,
            "code": CODES[status],
            "model": "" if call.service is None else call.service.name,
            "milliseconds": round(seconds * 1000, 3),
            "bytes": n_bytes,
            "request_id": call.identify(),
            "client": client_of(address),
        }
    )
