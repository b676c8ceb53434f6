"""Databases: what a URL names, and one transaction at a time in it. One small module per kind."""

from __future__ import annotations

from contextlib import AbstractContextManager
from importlib import import_module
from typing import cast

from twofold._batch.databases.base import Column, Session, in_database
from twofold._batch.databases.location import Location, is_database, location_of

__all__ = ["Column", "Location", "Session", "in_database", "is_database", "location_of", "transaction"]


def transaction(location: Location) -> AbstractContextManager[Session]:
    """One transaction in a connection of its own: all of it or nothing."""
    module = import_module(f"twofold._batch.databases.{location.kind}")
    return cast("AbstractContextManager[Session]", module.transaction(location))
