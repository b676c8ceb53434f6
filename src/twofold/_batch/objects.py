"""Object stores by URL, all through one library: s3://bucket/path, gs://bucket/path, az://account/container/path.

Keys and secrets come from the environment or the machine, as the stores' own tools take them, never from a URL.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from twofold._batch.places import shown
from twofold._errors import MissingExtra, UsageError

if TYPE_CHECKING:
    from obstore.store import ObjectStore

__all__ = ["SCHEMES", "is_object", "open_objects", "said", "version_of"]

SCHEMES = ("s3", "s3a", "gs", "az", "azure", "abfs", "abfss")


def is_object(place: str) -> bool:
    scheme, found, _ = place.partition("://")
    return bool(found) and scheme in SCHEMES


def open_objects(url: str) -> tuple[ObjectStore, str]:
    """The folder that holds what a URL names, and its name in there ("" for a bucket). UsageError for a broken URL,
    MissingExtra where the library is not installed."""
    try:
        import obstore.store
        from obstore.exceptions import BaseError
    except ImportError:
        raise MissingExtra("obstore", "s3", f"The object store of {shown(url)!r}") from None
    scheme, _, rest = url.partition("://")
    if "@" in rest.partition("/")[0] or "?" in rest:
        raise UsageError(
            f"{shown(url)!r} has more than a place in it. Keys and secrets are taken from the environment, such as "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; so is AWS_ENDPOINT_URL."
        )
    folder, _, name = rest.rstrip("/").rpartition("/")
    try:
        return obstore.store.from_url(f"{scheme}://{folder or name}"), name if folder else ""
    except BaseError as error:
        raise UsageError(f"{shown(url)!r} is no place in an object store: {said(error)}") from None


def said(error: Exception) -> str:
    """What the library says, in one line, without its internals."""
    return " ".join(str(error).partition("\n\nDebug source")[0].split())


def version_of(found: Mapping[str, Any]) -> Any:
    """What must still stand there when it is replaced: the `mode` of a put."""
    return {name: found[name] for name in ("e_tag", "version") if found[name] is not None}
