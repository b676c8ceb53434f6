"""The report for people who decide: whole, in one file, and a browser shows it without a complaint."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

from tests.compare.test_report import FOUND, LIVE, STORED
from tests.realtime.browser import browser
from twofold._advice.flips import flips
from twofold._advice.need import Case, Costs, Need, Prices
from twofold._advice.queueing import CallCost
from twofold._advice.rules import advise
from twofold._compare.costs import price_of
from twofold._compare.page import report_page
from twofold._compare.plots import Chart, svg
from twofold._compare.report import Alone
from twofold._compare.sustained import Sustained, Tried

CASE = Case(Need(2e6, 70.0, p99_s=0.05, entities=1e6), Costs(CallCost(1e-4, 1e-5), 1e-5), Prices(0.1, 1.25, 0.25))
MEASURED = replace(
    FOUND,
    model="<fraud>",
    alone=Alone(0.011, 80.0, {1: 0.011, 16: 0.03, 256: 0.3}),
    real_time=replace(LIVE, sustained=Sustained(50.0, 900.0, 40.0, (Tried(500.0, 1.0, 3.0), Tried(900.0, 2.0, 40.0)))),
    price=price_of(LIVE, STORED, 2, 0.1, 2e6),
)


class Balanced(HTMLParser):
    """Complains where a tag is closed that is not the last one opened."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: object) -> None: ...

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def page() -> str:
    return report_page(MEASURED, advise(CASE), flips(CASE)[:2], ["On paper."])


def test_one_file_with_everything_in_it():
    found = page()
    checked = Balanced()
    checked.feed(found)
    assert checked.open == []
    assert not re.search(r"https?:|src=|href=|@import|<script", found)
    assert "&lt;fraud&gt;: real time or batch?" in found
    assert found.count("<svg") == 3
    for words in ("Advice: ", "Both modes, measured", "Price", "Do the answers agree?", "now: 2 M"):
        assert words in found


def test_on_paper_there_is_no_measurement():
    found = report_page(None, advise(CASE), [], ["On paper."])
    assert found.count("<svg") == 1
    assert "Both modes, measured" not in found


def test_a_browser_shows_it(tmp_path: Path):
    (tmp_path / "report.html").write_text(page())
    with browser() as shown:
        shown.open((tmp_path / "report.html").as_uri())
        shown.wait_for("document.querySelectorAll('svg polyline').length", lambda count: count >= 4)
        wide = "[...document.querySelectorAll('svg')].every((s) => s.getBoundingClientRect().height > 100)"
        shown.wait_for(wide, lambda found: found is True)
        assert shown.complaints == []


def test_a_chart_of_nothing_says_so():
    assert "nothing was measured" in svg(Chart("Latency", "x", "y", {"p99": [(1.0, float("inf"))]}))


def test_a_chart_of_one_point():
    assert "<circle" in svg(Chart("Latency", "x", "y", {"p99": [(1.0, 2.0)]}, log="xy"))
