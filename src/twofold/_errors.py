"""Every error that twofold raises on purpose.

    TwofoldError                 exit 1
    ├── UsageError               exit 2   a wrong option, name or combination
    │   ├── OverwriteRefused     exit 2   an output that is not ours, or a run with something changed
    │   └── MissingExtra         exit 2   an optional package is not installed
    ├── ModelError               exit 1   the model cannot be found, read, loaded or trusted
    │   ├── CalledAtImport       exit 1   a model's file calls serve, batch or compare when it is imported
    │   └── WrongResult          exit 1   predict answered with something its signature does not say
    ├── InputError               exit 1   the data that was given cannot be read
    │   ├── NotJson              a request body that is not JSON
    │   └── RowsDoNotFit         rows that do not fit the signature; has .errors
    ├── OutputError              exit 1   the result cannot be written (full disk, rights)
    ├── RunStopped               exit 1   a run that ended before its work was done
    └── RequestFailed            exit 1   a request to a server got no answer; `code` is the server's word for why
        ├── Unreachable          nobody answers at the URL, or not as twofold does
        ├── ModelFailed          the model raised an exception on the row
        ├── WorkerLost           the process that computed the row ended
        ├── DeadlineExceeded     the answer was not there in time
        └── RowsFailed           some rows of a list have no answer; has .answers and .failures
    BadRow                       raised by a model: this row cannot be answered, and the row is to blame

Each message is one paragraph for the person at the keyboard: what is wrong, where, and what to do next.
`code` is a stable snake_case word for scripts; `data` holds the facts of the message.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = [
    "BadRow",
    "CalledAtImport",
    "DeadlineExceeded",
    "FieldError",
    "InputError",
    "MissingExtra",
    "ModelError",
    "ModelFailed",
    "NotJson",
    "OutputError",
    "OverwriteRefused",
    "RequestFailed",
    "RowFailure",
    "RowsDoNotFit",
    "RowsFailed",
    "RunStopped",
    "TwofoldError",
    "Unreachable",
    "UsageError",
    "WorkerLost",
    "WrongResult",
    "shorten",
]

SHOWN_CHARACTERS = 100


class TwofoldError(Exception):
    """Base of all errors that are meant to be read by a user."""

    code = "error"
    exit_code = 1

    def __init__(self, message: str, **data: Any) -> None:
        super().__init__(message)
        self.message = message
        self.data = data


class UsageError(TwofoldError):
    code = "usage"
    exit_code = 2


class OverwriteRefused(UsageError):
    code = "overwrite_refused"


class MissingExtra(UsageError):
    """An optional package is needed: says which, and the command that installs it."""

    code = "missing_extra"

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs the package {package!r}. Install it: pip install 'twofold[{extra}]'",
            package=package,
            extra=extra,
        )


class ModelError(TwofoldError):
    code = "model_error"


class CalledAtImport(ModelError):
    code = "called_at_import"


class WrongResult(ModelError):
    code = "wrong_result"


class InputError(TwofoldError):
    code = "input_error"


class OutputError(TwofoldError):
    code = "output_error"


class RunStopped(TwofoldError):
    code = "run_stopped"


class RequestFailed(TwofoldError):
    """A request to a server got no answer. `code` is the server's word for why, as in its problem details."""

    code = "request_failed"

    def __init__(self, message: str, *, code: str = "", **data: Any) -> None:
        super().__init__(message, **data)
        if code:
            self.code = code


class Unreachable(RequestFailed):
    code = "unreachable"


class ModelFailed(RequestFailed):
    code = "model_failed"


class WorkerLost(RequestFailed):
    code = "worker_lost"


class DeadlineExceeded(RequestFailed):
    code = "deadline_exceeded"


class NotJson(InputError):
    code = "not_json"


@dataclass(frozen=True, slots=True)
class FieldError:
    """One value that does not fit its field.

    `row` counts from 0 within its request or file; `field` is a dotted path ("" when the row itself is at
    fault); `got` is at most 100 characters.
    """

    row: int
    field: str
    expected: str
    got: str
    message: str

    def to_json(self) -> dict[str, object]:
        return {
            "row": self.row,
            "field": self.field,
            "expected": self.expected,
            "got": self.got,
            "message": self.message,
        }


class RowsDoNotFit(InputError):
    """Rows that do not fit the signature."""

    code = "row_does_not_fit"

    def __init__(self, errors: list[FieldError]) -> None:
        first = errors[0]
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        super().__init__(f"row {first.row}: {first.message}{more}")
        self.errors = errors


class BadRow(Exception):
    """Raise it in `predict` when the row is at fault: `raise twofold.BadRow("amount without a currency")`.

    The caller of that row gets a 422 with your words; in batch the row goes to quarantine.
    """


@dataclass(frozen=True, slots=True)
class RowFailure:
    """Why one row has no answer.

    `code` is one of row_does_not_fit, bad_row, model_failed, worker_lost, deadline_exceeded. `kind` is the name
    of the exception type ("" where there was none); `field` a dotted path or "".
    """

    code: str
    message: str
    kind: str = ""
    field: str = ""
    traceback: str = ""

    def to_json(self) -> dict[str, str]:
        shown = {"code": self.code, "message": self.message}
        if self.field:
            shown["field"] = self.field
        return shown


class RowsFailed(RequestFailed):
    """Some rows of a list have no answer.

    `failures` says why, by the position of the row; `answers` is the list of all answers, with None for these rows.
    """

    code = "rows_failed"

    def __init__(self, answers: list[Any], failures: dict[int, RowFailure]) -> None:
        row, first = next(iter(failures.items()))
        super().__init__(
            f"{len(failures)} of {len(answers)} rows have no answer; the first is row {row}: {first.code}: "
            f"{first.message}. The exception has the others in .answers, and all reasons in .failures."
        )
        self.answers = answers
        self.failures = failures


def shorten(value: object, limit: int = SHOWN_CHARACTERS) -> str:
    """The value as text of at most `limit` characters."""
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"
