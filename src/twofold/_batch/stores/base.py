"""What every store gives: the place where a run's parts are committed and where its output appears.

It alone says what is committed. The driver holds it, keeps the record in it, joins and publishes; workers, wherever
they run, make their own end of it from JSON and commit their parts.

hold                            driver   one run at a time; a second one is refused
load, save                      driver   the record, as JSON (`record` says what stands in it)
identity                        driver   what stands under the output's name now
sweep, committed, report        driver   what earlier starts left; what is done
scratch, commit                 worker   one split: part, quarantined rows and report, all at once
assembling, publish, clear      driver   from parts to the output
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from twofold._batch.formats import Format

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Assembly", "Store"]


class Assembly(Protocol):
    """The output in the making."""

    def add(self, name: str) -> None:
        """The next part, in order; it is committed."""
        ...


class Store(Protocol):
    """One output and its state."""

    @property
    def format(self) -> Format:
        """Of the parts."""
        ...

    @property
    def header(self) -> bool:
        """Parts stand for themselves; they are not joined."""
        ...

    @property
    def adds(self) -> bool:
        """Rows are added to those that stand there, or take the place of those with their key."""
        ...

    @property
    def keeps(self) -> bool:
        """What is committed stays, so that a run that was stopped can go on."""
        ...

    @property
    def scratch(self) -> Path:
        """A folder of this machine for what is being written."""
        ...

    @property
    def spool(self) -> Path:
        """A folder of this run alone, which workers see too, for rows that cannot be read twice; the driver makes and
        removes it."""
        ...

    @property
    def log(self) -> Path | None:
        """A file of this machine for the run's log; None where nothing is kept."""
        ...

    def shown(self) -> str:
        """The output's name, for people; without secrets."""
        ...

    def quarantine(self) -> str:
        """Where the failing rows can be found, for people; "" where there is no place for them."""
        ...

    def of_run(self, run: str) -> Store:
        """The same place for the parts of the run with this fingerprint: no other one sees them."""
        ...

    def to_json(self) -> dict[str, Any]:
        """What `store_of` makes the same store of, in another process. May hold secrets."""
        ...

    def hold(self) -> AbstractContextManager[Sequence[int]]:
        """Nobody else may run meanwhile; UsageError where somebody does. Gives the descriptors that workers must
        inherit, so that it stays held while one of them lives."""
        ...

    def load(self) -> dict[str, Any] | None:
        """The record; None when there is none. OverwriteRefused where its place is taken by something else."""
        ...

    def save(self, record: dict[str, Any]) -> None: ...

    def identity(self) -> Any:
        """What stands under the output's name now, as JSON, so that a change is seen; None when there is nothing."""
        ...

    def sweep(self, names: Collection[str], schema: pa.Schema) -> None:
        """Make the places, and take away what a killed or an earlier run left. `names`: this run's parts.

        UsageError where what stands there cannot take rows of this schema."""
        ...

    def committed(self) -> set[str]:
        """The names of the parts that are there."""
        ...

    def report(self, name: str) -> dict[str, Any]:
        """The report of a committed split."""
        ...

    def commit(self, name: str, part: Path, lines: Path | None, report: dict[str, Any]) -> None:
        """All of a split, or nothing. `part` and `lines` (its quarantined rows) are files in `scratch`, closed."""
        ...

    def drop_scratch(self) -> None:
        """Nothing is being written any more."""
        ...

    def assembling(self, schema: pa.Schema) -> AbstractContextManager[Assembly]:
        """Takes the parts in order, as they come. Left normally, the output is complete, but not visible yet."""
        ...

    def put_aside(self, names: Iterable[str]) -> None:
        """Put the quarantined rows of these splits, in order, where `quarantine` says."""
        ...

    def future_identity(self) -> Any:
        """The identity that the output will have once it is published."""
        ...

    def publish(self) -> None:
        """Let what was assembled appear under the output's name."""
        ...

    def clear(self) -> None:
        """Drop what a finished run no longer needs."""
        ...
