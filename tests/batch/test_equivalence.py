"""However the rows are cut, wherever they are computed: the same output, and every row accounted for."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.batch.runs import quarantine, run, write_model

MODEL = """
import twofold

@twofold.model
def f(number: int, weight: float = 1.0) -> float:
    if number % 5 == 0:
        raise twofold.BadRow("five")
    if number % 7 == 0:
        raise ArithmeticError("seven")
    return number * weight
"""

cells = st.one_of(st.integers(-50, 50).map(str), st.sampled_from(["", "x", "7.5", '"1"', '"a ""b"",\nc"', "1e3"]))
lines = st.lists(st.one_of(st.tuples(cells, cells, cells), st.tuples(cells, cells)), max_size=25)


@settings(max_examples=15, deadline=None)
@given(
    rows=lines,
    cuts=st.lists(
        st.tuples(st.integers(7, 60), st.integers(1, 20), st.sampled_from(["out.csv", "out.jsonl"])),
        min_size=2,
        max_size=3,
    ),
)
def test_in_is_out_and_quarantine_however_it_is_cut(rows: list[tuple[str, ...]], cuts: list[tuple[int, int, str]]):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = write_model(folder, MODEL)
        # A run of failing batches would end the run: these rows keep it going.
        text = "".join(",".join(row) + "\n" + "ok,1,1\n" * 3 for row in rows)
        (folder / "in.csv").write_text("id,number,weight\n" + text)
        seen: dict[str, tuple[bytes, list]] = {}
        for split_rows, batch_rows, output in cuts:
            report = run(
                *(model, folder / "in.csv", folder / output),
                split_rows=split_rows,
                batch_rows=batch_rows,
                overwrite=True,
            )
            assert report.rows_in == len(rows) * 4 == report.rows_out + report.rows_quarantined
            aside = quarantine(report) if report.rows_quarantined else []
            assert [line["_position"]["row"] for line in aside] == sorted({line["_position"]["row"] for line in aside})
            assert len(aside) == report.rows_quarantined
            found = (folder / output).read_bytes(), aside
            assert seen.setdefault(output, found) == found
