"""The page at `/` in a real browser: what the server does now, the form, the key."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import twofold
from tests.realtime.browser import browser
from tests.realtime.models import parity
from tests.realtime.serving import serving
from twofold._realtime.http.access import Access, Keys

NUMBERS = """[...document.querySelectorAll("figure")].map((figure) =>
    [figure.querySelector("figcaption").textContent, ...[...figure.querySelectorAll("b")].map((b) => b.textContent)])"""


@twofold.model(example={"text": "a"})
def shout(text: str) -> str:
    return text.upper()


@contextmanager
def load(port: int, path: str = "/predict", *, key: str = "") -> Iterator[None]:
    """Requests of eight rows, one in four failing, one after the other."""
    enough = threading.Event()
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}

    def run() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        at = 0
        while not enough.is_set():
            at += 1
            body = json.dumps({"number": 66} if at % 4 == 0 else [{"number": n} for n in range(8)])
            connection.request("POST", path, body, headers)
            connection.getresponse().read()
            enough.wait(0.005)
        connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        enough.set()
        thread.join()


def test_it_shows_what_the_server_does(tmp_path: Path) -> None:
    with serving(parity) as served, browser() as page:
        url = f"http://127.0.0.1:{served.port}/"
        page.open(url)
        page.wait_for(NUMBERS, lambda found: len(found) == 6 and found[0][1:] == ["0/s", "0/s"])
        with load(served.port):
            found = page.wait_for(NUMBERS, lambda found: found[0][1] not in ("–", "0/s"))
            page.wait_for("document.querySelectorAll('figure canvas').length", lambda count: count == 6)
            found = page.wait_for(NUMBERS, lambda found: found[0][2] not in ("–", "0/s"))
        named = {name: values for name, *values in found}
        assert list(named) == ["Requests", "Latency", "Model call", "Batch size", "Queue", "Refused"]
        answered, failed = (float(text.removesuffix("/s").replace(",", "")) for text in named["Requests"])
        assert 5 < failed < answered < 1000
        assert all(text.endswith((" ms", " µs")) for text in named["Latency"])
        assert 1 < float(named["Batch size"][0]) < 8
        assert page.value("document.querySelector('canvas').getAttribute('aria-label')").startswith("Requests: in all ")
        page.screenshot(tmp_path / "page.png")
        links = page.value("[...document.querySelectorAll('nav a')].map((a) => a.pathname)")
        assert links == ["/docs", "/metrics", "/openapi.json"]
        page.value("document.getElementById('send').click()")
        page.wait_for("document.getElementById('answer').textContent", lambda text: "Odd" in text)
        assert page.complaints == []


def test_several_models_are_a_choice() -> None:
    with serving(parity, shout) as served, browser() as page, load(served.port, "/models/parity/predict"):
        page.open(f"http://127.0.0.1:{served.port}/")
        page.wait_for(NUMBERS, lambda found: found and found[0][1] not in ("–", "0/s"))
        assert page.value("[...document.getElementById('model').options].map((one) => one.text)") == ["parity", "shout"]
        page.value("""{ const choice = document.getElementById("model"); choice.selectedIndex = 1;
                        choice.dispatchEvent(new Event("change")); }""")
        page.wait_for(NUMBERS, lambda found: found[0][1] == "0/s")
        page.wait_for("document.getElementById('version').textContent", lambda text: text == "0123456789ac")
        assert page.value("document.getElementById('name').textContent") == "shout"
        page.value("document.getElementById('send').click()")
        page.wait_for("document.getElementById('answer').textContent", lambda text: '"A"' in text)
        assert page.complaints == []


def test_the_key_is_asked_for_once_and_sent_with_every_call() -> None:
    with serving(parity, access=Access(keys=Keys(["secret"]))) as served, browser() as page:
        page.open(f"http://127.0.0.1:{served.port}/")
        give = """{ document.querySelector("dialog input").value = "%s";
                    document.querySelector("dialog button").click(); }"""
        page.wait_for("document.querySelectorAll('dialog[open]').length", lambda count: count == 1)
        page.value(give % "wrong")
        page.wait_for("document.querySelector('dialog .bad')?.textContent")
        page.value(give % "secret")
        with load(served.port, key="secret"):
            page.wait_for(NUMBERS, lambda found: found and found[0][1] not in ("–", "0/s"))
        assert page.value("document.querySelectorAll('dialog').length") == 0
        page.value("document.getElementById('send').click()")
        page.wait_for("document.getElementById('answer').textContent", lambda text: "Odd" in text)
        page.open(f"http://127.0.0.1:{served.port}/docs")
        page.wait_for("document.querySelectorAll('h2').length")
        assert page.value("document.querySelectorAll('dialog').length") == 0
        assert all("401" in complaint for complaint in page.complaints)
