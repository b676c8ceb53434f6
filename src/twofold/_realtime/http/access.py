"""Who may ask, and how: API keys, which routes are open without one, TLS, pages of other origins.

A key comes as `Authorization: Bearer KEY` (RFC 6750). Open are the health routes, and the static pages, which hold no
data. The fast lane asks the same `Keys`; whatever it does not let through ends here.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from twofold._options import ServeOptions
from twofold._realtime.http.problems import Answer, Refusal
from twofold._realtime.http.responses import AnswerResponse
from twofold._realtime.service import Service

__all__ = ["ANYBODY", "OPEN", "Access", "Guard", "Keys", "access_of"]

OPEN: Final = frozenset(("/", "/docs", "/health/live", "/health/ready", "/v2/health/live", "/v2/health/ready"))
STATIC: Final = "/static/"
SCHEME: Final = b"bearer "
ASK: Final = ((b"www-authenticate", b'Bearer realm="twofold"'),)


class Keys:
    """The keys that are allowed; several, so that one can be replaced without an interruption."""

    def __init__(self, keys: Iterable[str]) -> None:
        self._keys = [key.encode() for key in keys]

    def allow(self, authorization: bytes) -> bool:
        """Whether this Authorization header holds one of them. Takes as long for a key that is nearly right."""
        if authorization[: len(SCHEME)].lower() != SCHEME:
            return False
        given = authorization[len(SCHEME) :].strip()
        return sum(hmac.compare_digest(given, key) for key in self._keys) > 0  # all of them are looked at


@dataclass(frozen=True)
class Access:
    """`keys`: None: everybody may ask. `origins`: pages of these origins may ask from a browser (CORS); "*": of any.
    `certificate`, `private_key`: PEM files, for HTTPS."""

    keys: Keys | None = None
    origins: tuple[str, ...] = ()
    certificate: str | None = None
    private_key: str | None = None


ANYBODY: Final = Access()


def access_of(options: ServeOptions) -> Access:
    keys = Keys(options.api_keys) if options.api_keys else None
    return Access(keys, tuple(options.cors_origins), options.tls_certificate, options.tls_key)


class Guard:
    """The app, for those who have a key. `form` makes an answer of a refusal, as the protocol of a path has it."""

    def __init__(self, app: ASGIApp, keys: Keys, form: Callable[[str, Refusal], Answer], service: Service) -> None:
        self._app = app
        self._keys = keys
        self._form = form
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        given = [value for name, value in scope["headers"] if name == b"authorization"]
        if path in OPEN or path.startswith(STATIC) or (len(given) == 1 and self._keys.allow(given[0])):
            await self._app(scope, receive, send)
            return
        what = "The key is not one that this server knows." if given else "This server asks for a key."
        refusal = Refusal("unauthorized", f"{what} Send it in a header: Authorization: Bearer KEY.")
        answer = self._form(path, refusal)
        answer = answer._replace(headers=(*answer.headers, *ASK))
        await AnswerResponse(answer, self._service)(scope, receive, send)
