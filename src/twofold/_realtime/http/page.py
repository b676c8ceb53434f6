"""The pages: what the server does now and a form at `/`, the documentation at `/docs`. Static files, made live by
`/openapi.json` and `/metrics`; no build step, no CDN."""

from __future__ import annotations

from importlib.resources import files

from starlette.routing import Route

from twofold._realtime.catalog import Catalog
from twofold._realtime.http.openapi import openapi
from twofold._realtime.http.problems import CONTENT_TYPE, Answer, json_bytes
from twofold._realtime.http.responses import always

__all__ = ["routes"]

SCRIPTS = ("calls", "docs", "elements", "form", "live", "metrics", "plot", "schema")
FILES = {
    "/": ("form.html", b"text/html; charset=utf-8"),
    "/docs": ("docs.html", b"text/html; charset=utf-8"),
    "/static/style.css": ("style.css", b"text/css; charset=utf-8"),
    **{f"/static/{name}.js": (f"{name}.js", b"text/javascript; charset=utf-8") for name in SCRIPTS},
}
HEADERS = (
    (b"cache-control", b"no-cache"),
    (b"content-security-policy", b"default-src 'self'; img-src data:; frame-ancestors 'none'; base-uri 'none'"),
    (b"x-content-type-options", b"nosniff"),
)


def routes(catalog: Catalog) -> list[Route]:
    folder = files("twofold._realtime.http") / "static"
    answers = {
        path: Answer(200, content_type, HEADERS, (folder / name).read_bytes())
        for path, (name, content_type) in FILES.items()
    }
    answers["/openapi.json"] = Answer(200, CONTENT_TYPE, (), json_bytes(openapi(catalog)))
    return [Route(path, always(answer, catalog)) for path, answer in answers.items()]
