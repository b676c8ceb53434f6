"""What every executor does. They differ in where splits are computed, in nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from twofold._batch.work import SplitTask, Work
from twofold._signature import Signature

if TYPE_CHECKING:
    from twofold._model import Model
    from twofold._reference import ModelRef

__all__ = ["Executor", "Measured", "ModelFacts", "Tracker", "facts_of"]


@dataclass(frozen=True)
class ModelFacts:
    """What a worker tells about the model it loaded."""

    name: str
    version: str
    signature: Signature
    settings: dict[str, Any]
    """What the reference says beyond the model: --set, --outputs, --nulls."""

    @classmethod
    def of(cls, facts: dict[str, Any], ref: ModelRef) -> ModelFacts:
        """From what `facts_of` said in the process that loaded the model."""
        settings = {"set": ref.settings, "outputs": list(ref.outputs), "nulls": ref.nulls}
        return cls(facts["name"], facts["version"], Signature.from_json(facts["signature"]), settings)


def facts_of(model: Model) -> dict[str, Any]:
    """What others must know of a loaded model, as JSON."""
    return {
        "name": model.name,
        "version": model.version,
        "signature": model.signature.to_json(),
        "drops_gil": model.drops_gil,
        "by_row": model.form == "rows",
        "waits": model.is_async or bool(model.threads),
    }


@dataclass(frozen=True)
class Measured:
    """What a few calls of the model say: the seconds of a row, the rows of a call from which on more make a row no
    cheaper, and whether it pays to call it with rows of like length."""

    row_s: float
    batch_rows: int
    by_length: bool = False
    cores: float = 1.0
    """How many cores the largest call kept busy."""


class Tracker(Protocol):
    """Told what happens to the splits; may raise, which stops the run."""

    def began(self, index: int, place: str) -> None:
        """Its first rows are computed, at this place: a process, by its number or its machine and number."""

    def called(
        self, index: int, n_rows: int, n_failed: int, reasons: dict[str, int], first: list[dict[str, Any]]
    ) -> None: ...

    def lost(self, index: int) -> None:
        """Begun again from its first row."""

    def gone(self, place: str, how: str, splits: list[int]) -> None:
        """A worker was lost, with these splits in hand."""

    def done(self, report: dict[str, Any]) -> None: ...

    def tick(self) -> None:
        """From time to time."""


class Executor(Protocol):
    """Where splits are computed."""

    model_calls: int
    """Calls of the model so far."""

    def facts(self) -> ModelFacts:
        """About the model; waits until it is loaded."""
        ...

    def room(self) -> int | None:
        """Bytes that the rows in hand at one place may take up; None: no limit."""
        ...

    def places_for(self, n_splits: int) -> int:
        """How many of so many splits are computed at once."""
        ...

    def probe(self, work: Work, task: SplitTask, n_rows: int) -> Measured | None:
        """What a few rows of a split cost, in a run over `n_rows`; None where that cannot be said."""
        ...

    def run(self, work: Work, tasks: Sequence[SplitTask], tracker: Tracker) -> None:
        """Compute and commit these splits. Raises the first error of one."""
        ...

    def close(self) -> None:
        """Nothing is computed or written after this."""
        ...
