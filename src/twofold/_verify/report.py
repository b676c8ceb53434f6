"""What a verification found: the text made from it, and its JSON."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import Any

from twofold._verify.check import Checked, as_json
from twofold._verify.judging import FieldFound, Judge
from twofold._verify.shapes import Exact

__all__ = ["Verification"]

SHOWN_EXAMPLES = 5


@dataclass(frozen=True)
class Verification:
    """`print` shows it; `same` says whether the answers are the same. `input` is a path, or "" for rows in memory;
    `rows_unfit` are those that do not fit the model: they were not asked."""

    model: str
    version: str
    input: str
    rows_unfit: int
    judge: Judge
    checked: Checked

    @property
    def same(self) -> bool:
        return not self.checked.beyond

    @property
    def exit_code(self) -> int:
        return 0 if self.same else 4

    @property
    def rows(self) -> int:
        return len(self.checked.reference)

    def to_json(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "version": self.version,
            "input": self.input,
            "rows": self.rows,
            "rows_unfit": self.rows_unfit,
            "same": self.same,
            "differ": len(self.checked.beyond),
            "differ_bytes": len(self.checked.differ),
            **as_json(self.checked, self.judge, self._positions),
        }

    @property
    def _positions(self) -> list[int]:
        return list(self.judge.positions if self.judge.positions is not None else range(self.rows))

    def __str__(self) -> str:
        unfit = f" ({self.rows_unfit:,} more do not fit and were left out)" if self.rows_unfit else ""
        source = f"of {self.input}" if self.input else "in memory"
        lines = [f"{self.model}, version {self.version}, over {self.rows:,} rows {source}{unfit}", ""]
        lines += _table(self._passes())
        if self.checked.differ:
            lines += ["", *_table(self._fields())]
        if not self.same:
            lines += ["", "First rows:", *self._examples()]
        lines += ["", *(_wrapped(f"Cause: {cause}.") for cause in self.checked.causes)]
        if not self.checked.causes and self.rows > 1:
            lines.append(_exact_words(self.checked.exact, self.rows))
        return "\n".join([*lines, self._verdict()])

    def _passes(self) -> list[list[str]]:
        rows = [["Asked", "Bytes differ", "Beyond tolerance"]]
        return rows + [
            [one.name, f"{len(one.found.differ):,}", f"{len(one.found.beyond):,}"] for one in self.checked.passes
        ]

    def _fields(self) -> list[list[str]]:
        head = ["Output", "Bytes differ", "Beyond tolerance", "Flips", "Largest", "Relative", "ULP", "In row"]
        return [head, *([name, *self._cells(found)] for name, found in self.checked.fields.items())]

    def _cells(self, found: FieldFound) -> list[str]:
        counts = [f"{len(rows):,}" for rows in (found.differ, found.beyond, found.flips)]
        if found.largest_row is None:
            return [*counts, "-", "-", "-", "-"]
        ulp = "-" if found.ulp is None else f"{found.ulp:,}"
        row = f"{self._positions[found.largest_row]:,}"
        return [*counts, f"{found.absolute:.3g}", f"{found.relative:.3g}", ulp, row]

    def _examples(self) -> list[str]:
        lines: list[str] = []
        seen: set[int] = set()
        for one in self.checked.passes:
            for row, answer, reference in one.found.examples:
                if row not in seen and len(seen) < SHOWN_EXAMPLES:
                    seen.add(row)
                    shown = self.judge.shown
                    at = self._positions[row]
                    lines.append(f"  row {at:,}: alone {shown(reference)}; {one.name} {shown(answer)}")
        return lines

    def _verdict(self) -> str:
        beyond, differ = len(self.checked.beyond), len(self.checked.differ)
        if beyond:
            return f"The answers differ: {beyond:,} of {self.rows:,} rows beyond tolerance."
        if differ:
            return f"The answers are the same within tolerance; {differ:,} of {self.rows:,} rows differ in their bytes."
        return "The answers are the same, byte for byte."


def _exact_words(exact: Exact | None, rows: int) -> str:
    if exact is None:
        return f"No call with fewer than all {rows:,} rows is bit-exact against all larger ones."
    if exact.rows == 1:
        return "The smallest call that is bit-exact against all larger ones: 1 row."
    return (
        f"The smallest call that is bit-exact against all larger ones: {exact.rows:,} rows. It takes "
        f"{exact.seconds * 1e3:.3g} ms, {exact.seconds / exact.one_row_s:.3g} times as long as one row."
    )


def _wrapped(text: str) -> str:
    return textwrap.fill(text, 100, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


def _table(rows: list[list[str]]) -> list[str]:
    """The first column to the left, numbers to the right."""
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    lines = []
    for name, *cells in rows:
        shown = [cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True)]
        lines.append("  ".join([name.ljust(widths[0]), *shown]).rstrip())
    return [lines[0], "-" * len(lines[0]), *lines[1:]]
