"""What is known about a run beside its output (`run.json`), and whether it may begin, go on, or is done.

fingerprint   model, signature, input and options that shape the output; another one never continues this run
split_rows    the size of a split, chosen once
replaces      what stood under the output's name when the run was allowed to replace it
published     what stands there when the last rename went through
finished      the report
"""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from twofold._batch.durable import commit, sync_folder, write_whole
from twofold._batch.output import Output
from twofold._batch.sinks import writing
from twofold._errors import OutputError, OverwriteRefused

__all__ = ["Record", "RunState", "changes", "digest", "read_record"]


@dataclass(frozen=True)
class Record:
    """The content of `run.json`."""

    fingerprint: dict[str, Any]
    split_rows: int = 0
    replaces: Any = None
    published: Any = None
    finished: dict[str, Any] | None = None
    version: int = field(default=1)


def digest(values: object) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def read_record(output: Output) -> Record | None:
    """The record beside this output; None when there is none. A folder of that name that is not ours is refused."""
    path = output.state / "run.json"
    try:
        values = json.loads(path.read_bytes())
        return Record(**values)
    except FileNotFoundError:
        foreign = _foreign(output.state)
        if foreign:
            raise OverwriteRefused(
                f"{str(output.state)!r} is where this run would keep its state, and there is something else in it "
                f"({foreign[0]}). Move it away, or choose another OUTPUT."
            ) from None
        return None
    except (ValueError, TypeError) as error:
        raise OutputError(
            f"{str(path)!r} is not the record of a run of this version of twofold ({error}). "
            f"Remove {str(output.state)!r} to start from the beginning."
        ) from error


def _foreign(state: Path) -> list[str]:
    """What lies in a folder without a `run.json` that no run put there: it began with a lock and a temporary file."""
    if not state.is_dir():
        return []
    there = {entry.name for entry in state.iterdir()} - {"lock"}
    if there == {"tmp"} and {entry.name for entry in (state / "tmp").iterdir()} <= {"run.json"}:
        return []
    return sorted(there)


def changes(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What differs between two fingerprints, in words."""
    found = []
    for key in ["model", "signature", "inputs", *sorted({*before, *now} - {"model", "signature", "inputs"})]:
        old, new = before.get(key), now.get(key)
        if old == new:
            continue
        if key == "inputs":
            found.append(_changed_inputs(dict(old or {}), dict(new or {})))
        elif key == "signature":
            found.append("the model's signature")
        elif key == "model":
            found.append(f"the model (version {old}, now {new})")
        else:
            found.append(f"--{key.replace('_', '-')} ({_shown(old)}, now {_shown(new)})")
    return found


def _shown(value: object) -> str:
    return "not given" if value in (None, [], {}) else json.dumps(value)


def _changed_inputs(old: dict[str, Any], new: dict[str, Any]) -> str:
    for path, identity in new.items():
        if path not in old:
            return f"the input ({path} is new)"
        if old[path] != identity:
            return f"the input ({path} was written since)"
    gone = next((path for path in old if path not in new), None)
    return f"the input ({gone} is gone)" if gone else "the order of the inputs"


class RunState:
    """The state of a run whose lock is held."""

    def __init__(self, output: Output, record: Record) -> None:
        self.output = output
        self.record = record

    @classmethod
    def begin(cls, output: Output, fingerprint: dict[str, Any], split_rows: int, *, overwrite: bool) -> RunState:
        """Begin a run, go on with one, or find a finished one (`.record.finished`). OverwriteRefused where it may not.

        `split_rows` is for a run that begins; one that goes on keeps its own.
        """
        found = read_record(output)
        stands = output.identity()
        if found is None:
            if stands is not None and not overwrite:
                raise OverwriteRefused(
                    f"the output {output.shown()!r} exists, and this run did not make it. "
                    "Choose another OUTPUT, or allow it to be replaced: --overwrite"
                )
            return cls._anew(output, fingerprint, split_rows, stands)
        changed = changes(found.fingerprint, fingerprint)
        if changed and not overwrite:
            raise OverwriteRefused(
                f"{output.shown()!r} belongs to a run that was started before, and since then this changed: "
                f"{'; '.join(changed)}. Choose another OUTPUT, or replace the earlier result: --overwrite",
                changed=changed,
            )
        if changed:
            return cls._anew(output, fingerprint, split_rows, stands)
        if found.published is not None and stands == found.published:
            if found.finished is None or not overwrite:
                return cls(output, found)
            return cls._anew(output, fingerprint, split_rows, stands)
        if stands not in (None, found.replaces) or (stands is not None and found.finished is not None):
            if not overwrite:
                raise OverwriteRefused(
                    f"the output {output.shown()!r} is not what the run that was started before made or found there. "
                    "Choose another OUTPUT, or allow it to be replaced: --overwrite"
                )
            found = replace(found, replaces=stands)
        if found.finished is not None:  # what it made is gone: make it again
            return cls._anew(output, fingerprint, split_rows, stands)
        state = cls(output, found)
        state._save()
        return state

    @classmethod
    def _anew(cls, output: Output, fingerprint: dict[str, Any], split_rows: int, stands: Any) -> RunState:
        state = cls(output, Record(fingerprint, split_rows, replaces=stands))
        state._save()
        return state

    @property
    def is_published(self) -> bool:
        """The output is there; perhaps the report is not yet."""
        return self.record.published is not None and self.output.identity() == self.record.published

    def _save(self) -> None:
        with writing(self.output.state):
            self.output.tmp.mkdir(exist_ok=True)
            content = json.dumps(self.record.__dict__).encode()
            write_whole(self.output.state / "run.json", content, self.output.tmp / "run.json")

    def sweep(self, names: set[str]) -> set[str]:
        """Make the folders, and take away what a killed or an earlier run left. Returns the committed parts' names.

        `names`: the parts of this run's plan.
        """
        output = self.output
        with writing(output.state):
            shutil.rmtree(output.tmp, ignore_errors=True)
            for folder in (output.tmp, output.parts, output.splits):
                folder.mkdir(exist_ok=True)
            output.quarantine.unlink(missing_ok=True)
            stems = {name.partition(".")[0] for name in names}
            for entry in output.splits.iterdir():
                if entry.stem not in stems:
                    entry.unlink()
            committed = set()
            for entry in output.parts.iterdir():
                if entry.name in names:
                    committed.add(entry.name)
                else:
                    entry.unlink()
            sync_folder(output.state)
        return committed

    def publish(self, joined: Path) -> None:
        """Let the finished file or folder (flushed) appear under the output's name."""
        output = self.output
        stands = output.identity()
        if stands not in (None, self.record.replaces):
            raise OverwriteRefused(
                f"{output.shown()!r} was written by something else while this run worked. Move it away and start the "
                "same command again: everything is computed, only the result is to be put there. Or: --overwrite"
            )
        with writing(output.path):
            self.record = replace(self.record, published=_identity_as(output, joined))
            self._save()
            aside = output.state / "replaced"
            if output.is_folder and stands is not None:
                shutil.rmtree(aside, ignore_errors=True)
                commit(output.path, aside)
            commit(joined, output.path)
            if output.is_folder:
                sync_folder(output.state)
                shutil.rmtree(aside, ignore_errors=True)

    def finish(self, report: dict[str, Any]) -> None:
        """The output is there: keep the report, drop what is no longer needed."""
        if self.record.finished is None:
            self.record = replace(self.record, finished=report)
            self._save()
        self.clear()

    def clear(self) -> None:
        """Drop what a finished run no longer needs."""
        for folder in (self.output.parts, self.output.splits, self.output.tmp, self.output.state / "replaced"):
            shutil.rmtree(folder, ignore_errors=True)


def _identity_as(output: Output, joined: Path) -> Any:
    """The identity that the output will have once `joined` is renamed to it."""
    found = Output(joined, output.is_folder, output.format).identity()
    return found if output.is_folder else [output.path.name, *found[1:]]
