"""The lease of an output in an object store: an object that is only ever replaced by who has seen it last."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from twofold._batch.objects import version_of
from twofold._batch.stores.lease import LEASE_S, holder, refuse_held, renewing, taken_over

if TYPE_CHECKING:
    from obstore.store import ObjectStore

__all__ = ["ObjectLease"]


class ObjectLease:
    """Its age is told by the server's clock alone: that of a fresh object against that of the lease."""

    def __init__(self, store: ObjectStore, state: str, place: str, shown: str) -> None:
        self._store = store
        self._key, self._clock = f"{state}/lease", f"{state}/clock"
        self._place = place
        self._shown = shown
        self._version: dict[str, Any] = {}
        self._changing = threading.Lock()

    @contextmanager
    def held(self) -> Iterator[None]:
        """UsageError where another holds it."""
        import obstore
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        found = self._found()
        if found is not None:
            refuse_held(found["by"], self._place, LEASE_S - found["age_s"], self._shown)
        try:
            self._put("create" if found is None else found["version"])
        except (AlreadyExistsError, PreconditionError):  # somebody was faster
            found = self._found() or {"by": {}}
            refuse_held(found["by"], self._place, LEASE_S, self._shown)
            raise taken_over(self._shown) from None
        try:
            with renewing(self.renew):
                yield
        finally:
            with suppress(Exception):
                self.renew()
                obstore.delete(self._store, self._key)

    def renew(self) -> None:
        """RunStopped where another has taken it."""
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        try:
            self._put(self._version)
        except (AlreadyExistsError, PreconditionError):
            raise taken_over(self._shown) from None

    def _put(self, mode: Any) -> None:
        import obstore
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        with self._changing:
            content = json.dumps({"by": holder(self._place), "once": uuid.uuid4().hex}).encode()
            wanted: Any = self._version or mode
            try:
                put = obstore.put(self._store, self._key, content, mode=wanted)
                self._version = version_of(put)
            except (AlreadyExistsError, PreconditionError):
                stands = obstore.get(self._store, self._key)
                if bytes(stands.bytes()) != content:  # else only the answer to an earlier try was lost
                    raise
                self._version = version_of(stands.meta)

    def _found(self) -> dict[str, Any] | None:
        import obstore

        try:
            found = obstore.get(self._store, self._key)
        except FileNotFoundError:
            return None
        obstore.put(self._store, self._clock, uuid.uuid4().bytes)
        now = obstore.head(self._store, self._clock)["last_modified"]
        obstore.delete(self._store, self._clock)
        meta = found.meta
        return {
            "by": json.loads(bytes(found.bytes()))["by"],
            "age_s": (now - meta["last_modified"]).total_seconds(),
            "version": version_of(meta),
        }
