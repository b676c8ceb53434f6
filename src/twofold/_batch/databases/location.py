"""What the URL of a database names: where it is, and a table or a query in it.

sqlite:///app.db?table=users            a file beside the working folder
sqlite:////data/app.db?query=select …   a file by its whole path; everything after query= is the query
postgresql://user@host/db?table=public.users&sslmode=require
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from twofold._batch.places import shown
from twofold._errors import UsageError

__all__ = ["Location", "is_database", "location_of"]

KINDS = {"sqlite": "sqlite", "postgresql": "postgres", "postgres": "postgres"}
"""Scheme -> kind, which is the module's name."""


@dataclass(frozen=True)
class Location:
    """`where`: the file (SQLite), or the URL with its user and password, without table and query."""

    kind: str
    where: str = field(repr=False)
    table: str = ""
    query: str = ""

    def shown(self) -> str:
        """For people, records and logs: without user and password."""
        scheme = "sqlite:///" if self.kind == "sqlite" else ""
        rest = f"table={self.table}" if self.table else f"query={self.query}"
        where = shown(self.where)
        return f"{scheme}{where}{'&' if '?' in where else '?'}{rest}"

    def scrubbed(self, text: str) -> str:
        """What the database said, without the user and the password of the URL."""
        found = urlsplit(self.where) if self.kind != "sqlite" else None
        for secret in (found.password, found.username) if found is not None else ():
            if secret:
                text = re.sub(rf"(?<!\w){re.escape(unquote(secret))}(?!\w)", "…", text)
        return text


def is_database(place: str) -> bool:
    return place.partition("://")[0] in KINDS


def location_of(url: str) -> Location:
    """UsageError for a URL that names no database, or neither a table nor a query."""
    scheme, _, rest = url.partition("://")
    kind = KINDS[scheme]
    where, _, words = rest.partition("?")
    before, _, query = words.partition("query=") if words.startswith("query=") else words.partition("&query=")
    options = dict(parse_qsl(before))
    table = options.pop("table", "")
    if bool(table) == bool(query):
        raise UsageError(
            f"{shown(url)!r} should name a table or a query. Write {scheme}://…?table=NAME, or "
            f"{scheme}://…?query=select …, in quotes."
        )
    query = unquote(query) if re.search(r"%[0-9a-fA-F]{2}", query) and " " not in query else query
    if kind == "sqlite":
        if not where.startswith("/") or len(where) < 2:
            raise UsageError(
                f"{shown(url)!r} names no file. Write sqlite:///app.db for a file beside the working folder, and "
                "sqlite:////data/app.db for a whole path."
            )
        return Location(kind, str(Path(unquote(where[1:])).absolute()), table, query)
    asked = f"?{urlencode(options)}" if options else ""
    return Location(kind, f"postgresql://{where}{asked}", table, query)
