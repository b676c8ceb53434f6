"""What the pages of docs/ take from the code is what the code says; links lead somewhere; the site lists every page."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from scripts.references import DOCS, PAGES, PLACE, REFERENCES, ROOT, with_references

READ = [ROOT / "CONTRIBUTING.md", *PAGES, *sorted(ROOT.glob("examples/*/README.md"))]
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_generated_places_are_what_the_code_says(page: Path):
    text = page.read_text()
    assert text == with_references(text), f"{name(page)} is behind the code: .venv/bin/python -m scripts.references"
    assert text.count("<!-- generated:") == text.count("<!-- end -->") == len(PLACE.findall(text))


def test_every_reference_has_a_place():
    places = [found["name"] for page in PAGES for found in PLACE.finditer(page.read_text())]
    assert sorted(places) == sorted(REFERENCES)


@pytest.mark.parametrize("page", READ, ids=name)
def test_relative_links_lead_somewhere(page: Path):
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    for link in LINK.findall(text):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{name(page)} links to {link}"
        if page.parent == DOCS:
            assert target.parent == DOCS, f"{name(page)} links to {link}, which the site does not have"
        if anchor:
            assert anchor in headings(target), f"{name(page)} links to {link}: no such heading"


def test_the_site_lists_every_page():
    nav = tomllib.loads((ROOT / "zensical.toml").read_text())["project"]["nav"]
    listed = re.findall(r"'([\w-]+\.md)'", str(nav))
    assert sorted(listed) == sorted(page.name for page in DOCS.glob("*.md"))


def test_what_the_scripts_run_finds_its_neighbours():
    """A file that is run by its path does not find the modules beside its folder: it is named as a module."""
    scripts = [path for path in sorted((ROOT / "scripts").iterdir()) if path.is_file() and path.suffix != ".py"]
    for script in scripts:
        for words in re.findall(r"^ *(?:exec )?\.venv/bin/python (.*)", script.read_text(), re.MULTILINE):
            assert words.startswith("-m "), f"{name(script)} runs python {words}"


def headings(page: Path) -> set[str]:
    """The anchors that a code host and the site make of the headings."""
    found = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in found}
