"""A day's scores by country, as HTML and CSV: `python report.py scores/2026-03-25.parquet reports/2026-03-25`."""

import html
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

HEAD = ["country", "orders", "amount", "expected returns"]


def rows(scores: str) -> list[list[str]]:
    table = pq.read_table(scores)
    groups = pa.TableGroupBy(table, "country").aggregate([("order", "count"), ("amount", "sum"), ("prediction", "sum")])
    return [
        [row["country"], str(row["order_count"]), f"{row['amount_sum']:.2f}", f"{row['prediction_sum']:.1f}"]
        for row in groups.sort_by("country").to_pylist()
    ]


def report(scores: str, target: str) -> None:
    Path(target).parent.mkdir(exist_ok=True)
    lines = [HEAD, *rows(scores)]
    text = "".join(",".join(line) + "\n" for line in lines)
    cells = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in line) + "</tr>\n" for line in lines)
    page = f"<!doctype html><meta charset=utf-8><title>{Path(target).name}</title>\n<table>\n{cells}</table>\n"
    for suffix, content in ((".csv", text), (".html", page)):
        unfinished = Path(f"{target}{suffix}.tmp")
        unfinished.write_text(content)
        unfinished.replace(f"{target}{suffix}")  # a report is there as a whole, or not


if __name__ == "__main__":
    report(sys.argv[1], sys.argv[2])
