"""The one table of what can go wrong in the Open Inference Protocol: an HTTP status and a gRPC code for each.

The protocol has one form of error, a text (`{"error": "..."}`, or a gRPC status with a message), and no form for a row
that failed: a request with a failing row fails as a whole, and the text names the rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from twofold._errors import RowFailure, shorten
from twofold._realtime.http.problems import code_of
from twofold._realtime.limits import Refused

__all__ = ["GRPC_CODES", "STATUSES", "OipError", "error_of_failures", "error_of_refusal"]

MESSAGE_CHARACTERS: Final = 2000
ROWS_NAMED: Final = 10

# code -> (HTTP status, gRPC status code)
_TABLE: Final[dict[str, tuple[int, int]]] = {
    "bad_request": (400, 3),  # INVALID_ARGUMENT
    "not_json": (400, 3),
    "bad_body": (400, 3),
    "not_acceptable": (406, 3),
    "row_does_not_fit": (400, 3),
    "bad_row": (400, 3),
    "unanswerable": (400, 3),  # the answer has no form as tensors
    "unauthorized": (401, 16),  # UNAUTHENTICATED
    "not_found": (404, 5),  # NOT_FOUND: a model or a version that is not there
    "method_not_allowed": (405, 12),  # UNIMPLEMENTED
    "unsupported_media_type": (415, 3),
    "request_timeout": (408, 4),
    "headers_too_large": (431, 8),
    "body_too_large": (413, 8),  # RESOURCE_EXHAUSTED
    "overloaded": (429, 8),
    "model_failed": (500, 13),  # INTERNAL
    "internal_error": (500, 13),
    "worker_lost": (503, 14),  # UNAVAILABLE
    "not_ready": (503, 14),
    "deadline_exceeded": (504, 4),  # DEADLINE_EXCEEDED
}
STATUSES: Final = {code: row[0] for code, row in _TABLE.items()}
GRPC_CODES: Final = {code: row[1] for code, row in _TABLE.items()}


class OipError(Exception):
    """A request that gets no answer. `code` is one of the table; `str()` of it is for the caller's eyes."""

    def __init__(self, code: str, message: str, *, retry_after: int = 0) -> None:
        super().__init__(shorten(message, MESSAGE_CHARACTERS))
        self.code = code
        self.retry_after = retry_after  # whole seconds; 0: it is of no use to say

    @property
    def status(self) -> int:
        return STATUSES[self.code]

    @property
    def grpc_code(self) -> int:
        return GRPC_CODES[self.code]


def error_of_failures(failures: Mapping[int, RowFailure], n_rows: int) -> OipError:
    """The request as a whole failed, because these rows (at least one) did. The worst of their reasons counts."""
    worst = max(failures.values(), key=lambda failure: STATUSES[code_of(failure)])
    code = code_of(worst)
    message = worst.message or code
    if n_rows == 1:
        return OipError(code, message)
    named = ", ".join(map(str, list(failures)[:ROWS_NAMED])) + (", …" if len(failures) > ROWS_NAMED else "")
    first = next(row for row, failure in failures.items() if failure is worst)
    which = f"row {named}" if len(failures) == 1 else f"rows {named}"
    return OipError(code, f"{len(failures)} of {n_rows} rows failed ({which}); row {first}: {message}")


def error_of_refusal(refused: Refused) -> OipError:
    return OipError("overloaded", str(refused), retry_after=refused.retry_after)
