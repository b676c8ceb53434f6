"""What is known about a run beside its output (`run.json`), and whether it may begin, go on, or is done.

fingerprint   model, signature, input and options that shape the output; another one never continues this run
shape         how the rows are cut, chosen once
replaces      what stood under the output's name when the run was allowed to replace it
published     what stands there when the last rename went through
finished      the report
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from typing import Any

from twofold._batch.shape import Shape
from twofold._batch.stores import Store
from twofold._errors import OutputError, OverwriteRefused

__all__ = ["Record", "RunState", "changes", "digest", "read_record"]


@dataclass(frozen=True)
class Record:
    """The content of `run.json`."""

    fingerprint: dict[str, Any]
    shape: dict[str, Any]
    replaces: Any = None
    published: Any = None
    finished: dict[str, Any] | None = None
    version: int = field(default=2)


def digest(values: object) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def read_record(store: Store) -> Record | None:
    """The record of this output; None when there is none. OutputError for one that is not of this version."""
    values = store.load()
    try:
        return None if values is None else Record(**values)
    except TypeError as error:
        raise OutputError(
            f"what stands beside {store.shown()!r} is not the record of a run of this version of twofold ({error}). "
            "Remove it to start from the beginning."
        ) from error


def changes(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What differs between two fingerprints, in words."""
    found = []
    for key in [
        "format",
        "model",
        "signature",
        "inputs",
        *sorted({*before, *now} - {"format", "model", "signature", "inputs"}),
    ]:
        old, new = before.get(key), now.get(key)
        if old == new:
            continue
        if key == "inputs":
            found.append(_changed_inputs(dict(old or {}), dict(new or {})))
        elif key == "format":
            found.append(f"what twofold keeps of a run (version {_shown(old)}, now {new})")
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
    """The state of a run whose store is held."""

    def __init__(self, store: Store, record: Record, *, begins: bool = False) -> None:
        self.store = store
        self.record = record
        self.begins = begins
        """Nothing of an earlier start goes on."""

    @classmethod
    def begin(cls, store: Store, fingerprint: dict[str, Any], shape: Shape, *, overwrite: bool) -> RunState:
        """Begin a run, go on with one, or find a finished one (`.record.finished`). OverwriteRefused where it may not.

        `shape` is for a run that begins; one that goes on keeps its own.
        """
        found = read_record(store)
        stands = store.identity()
        replaces = overwrite or store.adds
        if found is None:
            if stands is not None and not replaces:
                raise OverwriteRefused(
                    f"the output {store.shown()!r} exists, and this run did not make it. "
                    "Choose another OUTPUT, or allow it to be replaced: --overwrite"
                )
            return cls._anew(store, fingerprint, shape, stands)
        changed = changes(found.fingerprint, fingerprint)
        if changed and not overwrite and not (store.adds and found.finished is not None):
            raise OverwriteRefused(
                f"{store.shown()!r} belongs to a run that was started before, and since then this changed: "
                f"{'; '.join(changed)}. Choose another OUTPUT, or replace the earlier result: --overwrite",
                changed=changed,
            )
        if changed:
            return cls._anew(store, fingerprint, shape, stands)
        if found.published is not None and stands == found.published:
            if found.finished is None or not overwrite:
                return cls(store, found)
            return cls._anew(store, fingerprint, shape, stands)
        if stands not in (None, found.replaces) or (stands is not None and found.finished is not None):
            if not replaces:
                raise OverwriteRefused(
                    f"the output {store.shown()!r} is not what the run that was started before made or found there. "
                    "Choose another OUTPUT, or allow it to be replaced: --overwrite"
                )
            found = replace(found, replaces=stands)
        if found.finished is not None:  # what it made is gone: make it again
            return cls._anew(store, fingerprint, shape, stands)
        state = cls(store, found)
        state._save()
        return state

    @classmethod
    def _anew(cls, store: Store, fingerprint: dict[str, Any], shape: Shape, stands: Any) -> RunState:
        state = cls(store, Record(fingerprint, shape.to_json(), replaces=stands), begins=True)
        state._save()
        return state

    @property
    def is_published(self) -> bool:
        """The output is there; perhaps the report is not yet."""
        return self.record.published is not None and self.store.identity() == self.record.published

    def _save(self) -> None:
        self.store.save(self.record.__dict__)

    def publish(self) -> None:
        """Let what was assembled appear under the output's name."""
        store = self.store
        if not store.adds and store.identity() not in (None, self.record.replaces):
            raise OverwriteRefused(
                f"{store.shown()!r} was written by something else while this run worked. Move it away and start the "
                "same command again: everything is computed, only the result is to be put there. Or: --overwrite"
            )
        self.record = replace(self.record, published=store.future_identity())
        self._save()
        store.publish()

    def finish(self, report: dict[str, Any]) -> None:
        """The output is there: keep the report, drop what is no longer needed."""
        if self.record.finished is None:
            self.record = replace(self.record, finished=report)
            self._save()
        self.store.clear()
