"""twofold predict: answer rows in this process."""

from __future__ import annotations

import sys
from typing import Any

import click

from twofold._cli.base import ModelChoice, model_options, subcommand


@subcommand(
    "predict",
    examples="""
Examples:
  twofold predict parity.py '{"number": 7}'              one row: {"prediction": "Odd"}
  twofold predict parity.py '[{"number": 7}, {"number": 8}]'
  echo '{"number": 7}' | twofold predict parity.py -

Exit code: 0 done; 1 the rows do not fit, or the one row has no answer; 3 some rows of a list have none.
""",
)
@model_options
@click.argument("json_text", metavar="JSON|-")
def command(model: ModelChoice, json_text: str) -> int:
    """Answer one row (a JSON object) or several (a list of objects) with MODEL, in this process.

    The answer is what the server would give: an object for an object, a list for a list. In a list, a row on which the
    model fails becomes {"error": {…}} and its neighbours are answered. `-` reads standard input.
    """
    body = sys.stdin.buffer.read() if json_text == "-" else json_text.encode("utf-8", "surrogateescape")
    loaded = model.load()
    rows, is_list = _decode(loaded, body, "standard input" if json_text == "-" else "the argument")
    answers, failed = _answer(loaded, rows)
    if not is_list and failed:
        from twofold._errors import ModelError

        failure = failed[0]
        raise ModelError(f"the row has no answer: {failure.message}", traceback=failure.traceback)
    import json

    click.echo(json.dumps(answers if is_list else answers[0], ensure_ascii=False))
    return 3 if failed else 0


def _decode(model: Any, body: bytes, origin: str) -> tuple[list[tuple[Any, ...]], bool]:
    from twofold._errors import NotJson

    try:
        rows, is_list = model.signature.decode(body)
    except NotJson as error:
        quotes = "" if origin == "standard input" else ", in single quotes so that the shell leaves it as it is"
        raise NotJson(
            f"{origin} is not JSON: {error.data['reason']}. Give one object with the model's input fields, or a list "
            f"of such objects{quotes}. (`twofold describe MODEL` lists the fields)"
        ) from error
    return rows, is_list


def _answer(model: Any, rows: list[tuple[Any, ...]]) -> tuple[list[Any], dict[int, Any]]:
    """JSON-ready answers in the order of the rows, and the failures by position."""
    if not rows:
        return [], {}
    from twofold._columns import Batch
    from twofold._runner import Runner

    signature = model.signature
    result = Runner(model).run(Batch.from_rows(signature.input_schema, rows))
    answered = iter(result.outputs.rows())
    answers: list[Any] = []
    for index in range(len(rows)):
        failure = result.failures.get(index)
        if failure is None:
            answers.append(signature.json_row(signature.outputs, next(answered)))
        else:
            answers.append({"error": failure.to_json()})
    return answers, result.failures
