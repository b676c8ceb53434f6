"""Schemathesis against the server's own OpenAPI document: requests made from its schemas, and against them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

__all__ = ["ask_all"]

HURRY = "X-Deadline-Ms"


def ask_all(url: str, examples: int, done: Callable[[str], None] = lambda _: None) -> Counter[str]:
    """So many requests that fit and as many that do not, for each operation: how often each status came.

    Raises what schemathesis found: an answer that is not declared (its status, content type, headers, schema), or a
    failure of the server. Needs schemathesis.
    """
    import schemathesis
    from schemathesis import GenerationMode
    from schemathesis.specs.openapi.checks import (
        allow_header_conformance,
        content_type_conformance,
        response_headers_conformance,
        response_schema_conformance,
        status_code_conformance,
    )

    checks: list[Any] = [
        allow_header_conformance,
        content_type_conformance,
        response_headers_conformance,
        response_schema_conformance,
        status_code_conformance,
    ]
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
    statuses: Counter[str] = Counter()

    def ask(case: Any) -> None:
        answer = case.call(timeout=20)
        statuses[str(answer.status_code)] += 1
        assert answer.status_code < 500 or (answer.status_code == 504 and HURRY in case.headers), answer.text
        case.validate_response(answer, checks=checks)

    for found in schema.get_all_operations():
        operation: Any = found.ok()  # type: ignore[union-attr]
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            _asked(operation.as_strategy(generation_mode=mode), ask, examples)
        done(operation.label)
    return statuses


def _asked(cases: Any, ask: Callable[[Any], None], examples: int) -> None:
    from hypothesis import HealthCheck, given, seed, settings
    from hypothesis.errors import Unsatisfiable

    quiet = settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    try:
        seed(1)(quiet(given(case=cases)(lambda case: ask(case))))()
    except Unsatisfiable:  # an operation without anything that could be wrong
        pass
