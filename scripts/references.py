"""Writes what README.md and docs/ take from the code and the benchmarks: `.venv/bin/python -m scripts.references`.

A page has a place for each table between two comments, `<!-- generated: commands -->` and `<!-- end -->`; what stands
there is replaced. tests/test_references.py fails when a page is not what this makes of it.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click

import twofold
from benchmarks.page import breakdown, faults, figures, headlines, scale
from twofold import _errors
from twofold import _options as _options_of_calls
from twofold._cli.app import COMMANDS
from twofold._cli.app import twofold as program
from twofold._cli.base import Command, CommandGroup

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]
PLACE = re.compile(r"(<!-- generated: (?P<name>[a-z-]+) -->\n)(?:.*?\n)??(<!-- end -->)", re.DOTALL)

PARITY = """
import twofold


@twofold.model
def parity(number: int) -> str:
    return "Even" if number % 2 == 0 else "Odd"
"""


def with_references(page: str) -> str:
    """The text of a page, with every generated place as the code now has it."""
    return PLACE.sub(lambda found: f"{found[1]}\n{REFERENCES[found['name']]().strip()}\n\n{found[3]}", page)


def table(head: Sequence[str], rows: Iterator[Sequence[str]] | Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


# ---- the command line -----------------------------------------------------------------------------------------------


def commands() -> str:
    """Every command: what it is for, its options, its examples; from what `--help` prints."""
    context = click.Context(program, info_name="twofold", **program.context_settings)
    parts = ["## twofold", _text(program.help), _options(program, context)]
    for name in COMMANDS:
        parts += _parts(_command(name), name, context)
    return "\n\n".join(parts)


def _parts(command: Command, name: str, above: click.Context) -> list[str]:
    own = click.Context(command, info_name=name, parent=above)
    usage = f"twofold {name} {' '.join(command.collect_usage_pieces(own))}"
    examples = _fence(command.examples.strip("\n"))
    parts = [f"## twofold {name}", _fence(usage), _text(command.help), _options(command, own), examples]
    for part in command.commands.values() if isinstance(command, CommandGroup) else ():
        assert isinstance(part, Command)
        parts += _parts(part, f"{name} {part.name}", above)
    return parts


def _command(name: str) -> Command:
    command = program.get_command(click.Context(program), name)
    assert isinstance(command, Command)
    return command


def _fence(text: str) -> str:
    return f"```text\n{text}\n```"


def _text(found: str | None) -> str:
    """A docstring as paragraphs of one line each. Braces, as in {"error": {…}}, are code."""
    paragraphs = inspect.cleandoc(found or "").split("\n\n")
    return re.sub(r"(\{.*\})", r"`\1`", "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs))


def _options(command: click.Command, context: click.Context) -> str:
    rows = []
    for parameter in command.get_params(context):
        if not isinstance(parameter, click.Option) or parameter.name == "help":
            continue
        record = parameter.get_help_record(context)
        assert record is not None
        default = parameter.get_help_extra(context).get("default", "")
        flag = record[0].replace("|", " or ").replace("[", "").replace("]", "")
        rows.append([f"`{flag}`", parameter.help or "", f"`{default}`" if default else ""])
    return table(["Option", "What it does", "Default"], rows)


# ---- HTTP -----------------------------------------------------------------------------------------------------------


def _document() -> dict[str, Any]:
    """The OpenAPI document of the even/odd model."""
    from twofold._realtime.backends import InlineBackend
    from twofold._realtime.catalog import Catalog
    from twofold._realtime.http.openapi import openapi
    from twofold._realtime.service import Service
    from twofold._runner import Runner

    space: dict[str, Any] = {"__name__": "parity"}
    exec(PARITY, space)
    model = twofold.load(space["parity"])
    return openapi(Catalog([Service(model.signature, model.version, model.name, InlineBackend(Runner(model)))]))


def routes() -> str:
    rows = []
    for path, methods in _document()["paths"].items():
        if "/versions/" in path:  # the same with the version named
            continue
        for method, operation in methods.items():
            answers = ", ".join(operation["responses"])
            what = operation.get("description") or operation["summary"]
            shown = path.replace("/models/parity", "/models/{name}")
            what = what.replace("of parity", "of that model").replace("parity can", "That model can")
            rows.append([f"`{method.upper()} {shown}`", what, answers])
    return table(["Route", "What it is", "Status"], rows)


def headers() -> str:
    document = _document()
    declared = document["components"]["headers"]
    answer = document["paths"]["/predict"]["post"]["responses"]["200"]["headers"]
    rows = [
        [f"`{name}`", declared[header["$ref"].rpartition("/")[2]]["description"]] for name, header in answer.items()
    ]
    return table(["Header", "What it says"], rows)


def schemas() -> str:
    """The fields of what stands in an answer that is no prediction."""
    found = _document()["components"]["schemas"]
    inner = {"FailedRow": found["FailedRow"]["properties"]["error"]}
    parts = []
    for title, what in (
        ("Problem", "The body of every answer that is not 200."),
        ("FieldError", "An item of its `errors`."),
        ("FailedRow", 'What stands in `{"error": …}`, in a list of answers.'),
    ):
        schema = inner.get(title, found[title])
        rows = [
            [f"`{name}`" + ("" if name in schema["required"] else " (optional)"), _kind(field), _meaning(title, field)]
            for name, field in schema["properties"].items()
        ]
        parts.append(f"**{title}.** {what}\n\n{table(['Field', 'Type', ''], rows)}")
    return "\n\n".join(parts)


def _kind(field: dict[str, Any]) -> str:
    if field["type"] == "array":
        return f"list of {field['items']['$ref'].rpartition('/')[2]}, at most {field['maxItems']}"
    limit = f", at most {field['maxLength']} characters" if "maxLength" in field else ""
    return f"{field['type']}{limit}"


def _meaning(title: str, field: dict[str, Any]) -> str:
    if "enum" not in field:
        return str(field.get("description", ""))
    return "one of " + ("the codes above" if title == "Problem" else ", ".join(f"`{code}`" for code in field["enum"]))


def problems() -> str:
    from twofold._realtime.http.problems import PROBLEMS

    rows = sorted(([str(p.status), f"`{p.code}`", p.title] for p in PROBLEMS.values()), key=lambda row: row[0])
    return table(["Status", "`code`", "What happened"], rows)


# ---- Python ---------------------------------------------------------------------------------------------------------


def errors() -> str:
    """The tree that `_errors` draws, as a table; what is drawn and what is there must be the same."""
    drawn = re.findall(r"^ +[│├└─ ]*([A-Z]\w+) +(?:exit \d *)?(.*)$", (_errors.__doc__ or "").split("\n\n")[1], re.M)
    kinds = {
        name: kind for name, kind in vars(_errors).items() if isinstance(kind, type) and issubclass(kind, Exception)
    }
    names = [name for name, _ in drawn]
    assert sorted(names) == sorted(kinds), set(names) ^ set(kinds)
    rows = []
    for name, meaning in drawn:
        kind = kinds[name]
        parent = "" if kind.__base__ in (Exception, None) else f"`{kind.__base__.__name__}`"
        code, exit_code = getattr(kind, "code", ""), getattr(kind, "exit_code", "")
        shown = f"`twofold.{name}`" if name in twofold.__all__ else f"`{name}`"
        rows.append([shown, parent, f"`{code}`" if code else "", str(exit_code), meaning or "the base of these"])
    return table(["Error", "is a", "`.code`", "Exit code", "When"], rows)


def api() -> str:
    """Each public name: how it is called, and its docstring."""
    parts = []
    for name in sorted(set(twofold.__all__) - {"__version__"}, key=lambda name: (name.lower(), name)):
        public = getattr(twofold, name)
        call = _call(name, public)
        parts.append(f"### twofold.{name}\n\n```text\n{call}\n\n{inspect.getdoc(public)}\n```")
    return "\n\n".join(parts)


def _call(name: str, public: Any) -> str:
    if inspect.isclass(public) and name != "Shape":
        return f"class {name}"
    plain = inspect.Parameter.empty
    found = inspect.signature(public)
    parameters = [parameter.replace(annotation=plain) for parameter in found.parameters.values()]
    return f"{name}{found.replace(parameters=parameters, return_annotation=plain)}"


def options(kind: str) -> Callable[[], str]:
    """The settings of a call in Python, and the options of the command they are."""

    def made() -> str:
        flags = {option.opts[0] for option in _command(kind).params if isinstance(option, click.Option)}
        defaults = getattr(_options_of_calls, f"{kind.capitalize()}Options")()
        rows = []
        for field in dataclasses.fields(defaults):
            default = getattr(defaults, field.name)
            same = [flag for flag in _FLAGS.get(field.name, [f"--{field.name.replace('_', '-')}"]) if flag in flags]
            rows.append([f"`{field.name}`", f"`{default!r}`", ", ".join(f"`{flag}`" for flag in same) or "—"])
        return table(["Setting", "Default", f"Option of `twofold {kind}`"], rows)

    return made


_FLAGS = {
    "layout": ["--inline", "--isolate"],
    "deadline_s": ["--deadline"],
    "drain_delay_s": ["--drain-delay"],
    "drain_timeout_s": ["--drain-timeout"],
    "max_body_bytes": ["--max-body"],
    "limit_rows": ["--limit"],
    "row_timeout_s": ["--row-timeout"],
    "memory_bytes": ["--memory"],
    "min_seconds": ["--seconds"],
}

REFERENCES: dict[str, Callable[[], str]] = {
    "api": api,
    "batch-settings": options("batch"),
    "breakdown": breakdown,
    "commands": commands,
    "compare-settings": options("compare"),
    "errors": errors,
    "faults": faults,
    "figures": figures,
    "headers": headers,
    "headlines": headlines,
    "problems": problems,
    "routes": routes,
    "scale": scale,
    "schemas": schemas,
    "serve-settings": options("serve"),
}


def main() -> None:
    for path in PAGES:
        before = path.read_text()
        now = with_references(before)
        if now != before:
            path.write_text(now)
            print(f"{path.name} is written again")


if __name__ == "__main__":
    main()
