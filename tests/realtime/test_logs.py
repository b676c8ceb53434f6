"""What a server says on standard error: lines for people or JSON, a line for each request, a model's tracebacks."""

from __future__ import annotations

import http.client
import json
import logging
import re
import signal
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.processes import wait_for
from tests.realtime.models import parity
from tests.realtime.serving import ask, ask_once, connect, get, post, serving
from tests.served import Server, started
from twofold._errors import UsageError
from twofold._options import ServeOptions
from twofold._realtime.http.access_log import AccessLog
from twofold._realtime.logs import KINDS, Lines, Repeats, check_folder

MODEL = """
import logging, os
import twofold

LOG = logging.getLogger("shop")

@twofold.model(example={"text": "a"})
def fickle(text: str) -> str:
    if text == "raise": raise ValueError("as told")
    if text == "refuse": raise twofold.BadRow("not this one")
    if text == "crash": os._exit(9)
    if text == "inform": LOG.info("informed\\nof %s", text)
    if text == "warn": LOG.warning("warned")
    return text + "!"
"""
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"


@contextmanager
def logged(tmp_path: Path, *options: str) -> Iterator[Server]:
    """A server whose lines are of whatever form."""
    (tmp_path / "fickle.py").write_text(MODEL)
    with started("serve", tmp_path / "fickle.py", "--port", "0", "--workers", "1", *options) as server:
        wait_for(lambda: server.said("twofold serving fickle"))
        (line,) = (line for line in server.lines if "twofold serving" in line)
        server.port = int(re.search(r"127\.0\.0\.1:(\d+)", line)[1])  # type: ignore[index]
        yield server


def records(server: Server) -> list[dict[str, Any]]:
    return [json.loads(line) for line in list(server.lines)]


@pytest.mark.parametrize("layout", ["--inline", "--isolate"])
def test_all_lines_are_json_with_one_form(tmp_path: Path, layout: str) -> None:
    with logged(tmp_path, layout, "--log-json", "--access-log") as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port)
        for text in ("a", "raise", "warn", "inform"):
            headers = {"Content-Type": "application/json", "X-Request-Id": f"id-{text}"}
            connection.request("POST", "/predict?really=yes", json.dumps({"text": text}), headers)
            answer = connection.getresponse()
            assert answer.headers["X-Request-Id"] == f"id-{text}"
            answer.read()
        connection.close()
        server.process.send_signal(signal.SIGHUP)
        wait_for(lambda: server.said("every process of fickle"))
        assert server.stop() == 0
    found = records(server)
    for record in found:
        assert re.fullmatch(TIME, record["time"])
        assert record["level"] in ("info", "warning", "error")
        assert record["process"]
    asked = [record for record in found if record["logger"] == "twofold.access"]
    assert [(record["request_id"], record["code"], record["status"]) for record in asked] == [
        ("id-a", "ok", 200),
        ("id-raise", "model_failed", 500),
        ("id-warn", "ok", 200),
        ("id-inform", "ok", 200),
    ]
    first = asked[0]
    assert (first["method"], first["path"], first["model"]) == ("POST", "/predict", "fickle")
    assert first["bytes"] == len('{"prediction":"a!"}')
    assert 0 < first["milliseconds"] < 10_000
    assert first["client"].startswith("127.0.0.1:")
    (failed,) = (record for record in found if "traceback" in record)
    assert failed["message"] == "fickle failed: ValueError: as told (fickle.py:9)"
    assert (failed["request_id"], failed["model"], failed["code"]) == ("id-raise", "fickle", "model_failed")
    assert failed["traceback"].startswith("Traceback (most recent call last):\n")
    assert failed["traceback"].endswith("\nValueError: as told")
    assert [record["message"] for record in found if record["logger"] == "shop"] == ["warned"]
    levels = [record["level"] for record in found if record["message"].startswith("every process")]
    assert levels == ["info"]


def test_errors_at_the_start_are_json_too(tmp_path: Path) -> None:
    with started("serve", tmp_path / "nothere.py", "--log-json") as server:
        assert server.process.wait(30) != 0
        wait_for(lambda: server.lines)
    (record,) = records(server)
    assert record["level"] == "error"
    assert "nothere.py" in record["message"]


def test_a_failing_model_does_not_fill_the_disk(tmp_path: Path) -> None:
    with logged(tmp_path, "--inline") as server:
        with closing(http.client.HTTPConnection("127.0.0.1", server.port)) as connection:

            def fail() -> str:
                headers = {"Content-Type": "application/json"}
                connection.request("POST", "/predict", '{"text": "raise"}', headers)
                answer = connection.getresponse()
                answer.read()
                return str(answer.headers["X-Request-Id"])

            asked = [fail() for _ in range(500)]
            while not server.said("like it before"):
                asked.append(fail())
        assert server.stop() == 0
    told = [line for line in server.lines if "fickle failed" in line]
    first = rf"{TIME} error twofold: fickle failed: ValueError: as told \(fickle.py:9\) \(request {asked[0]}\)"
    assert re.fullmatch(first, told[0])
    assert len(told) == len([line for line in server.lines if line.startswith("Traceback")]) < 30
    left_out = sum(int(found[1]) for line in told if (found := re.search(r"\(and (\d+) like it before\)", line)))
    assert 0 < left_out + len(told) <= len(asked)


@pytest.mark.parametrize(("level", "expected"), [("info", ["informed", "warned"]), ("error", [])])
def test_the_level_is_that_of_the_model(tmp_path: Path, level: str, expected: list[str]) -> None:
    with logged(tmp_path, "--isolate", "--log-level", level) as server:
        for text in ("inform", "warn", "crash"):
            server.ask({"text": text})
        wait_for(lambda: server.said("another one starts"))  # an error: it is shown at every level
        server.process.send_signal(signal.SIGHUP)
        server.stop()
    said = "\n".join(server.lines)
    assert [word for word in ("informed", "warned") if word in said] == expected


def test_a_line_for_each_request(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="twofold.access")
    with serving(parity, around=[AccessLog]) as served, connect(served.port) as sock:
        reply = ask(sock, post('{"number": 7}'))
        made = reply.headers["x-request-id"]
        given = ask(sock, post('{"number": 66}', "X-Request-Id: mine"))
        assert given.headers["x-request-id"] == "mine"
    found = [record for record in caplog.records if record.name == "twofold.access"]
    assert [record.code for record in found] == ["ok", "model_failed"]  # type: ignore[attr-defined]
    assert [record.request_id for record in found] == [made, "mine"]  # type: ignore[attr-defined]
    assert found[0].getMessage().startswith("127.0.0.1:")
    failed = [record for record in caplog.records if record.name == "twofold"]
    assert [record.request_id for record in failed] == ["mine"]  # type: ignore[attr-defined]
    assert "sixty-six" in caplog.text


def test_an_answer_with_a_failed_row_can_be_found_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with serving(parity) as served:
        mixed = ask_once(served.port, post('[{"number": 1}, {"number": 66}]'))
        again = ask_once(served.port, post('[{"number": 1}, {"number": 66}]'))
        good = ask_once(served.port, post('[{"number": 1}]'))
    assert mixed.status == again.status == 200
    assert [record.request_id for record in caplog.records] == [mixed.headers["x-request-id"]]  # type: ignore[attr-defined]
    assert again.headers["x-request-id"]  # also where its line was left out
    assert "x-request-id" not in good.headers


def test_a_path_cannot_begin_a_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="twofold.access")
    with serving(parity, around=[AccessLog]) as served:
        assert ask_once(served.port, get("/no%0A2026 there".replace(" ", "%20"))).status == 404
    (record,) = (record for record in caplog.records if record.name == "twofold.access")
    assert '"GET /no%0A2026%20there" 404 not_found' in record.getMessage()


def test_the_answers_are_those_of_the_lane() -> None:
    for body in ('{"number": 7}', '{"number": 66}', '[{"number": 1}, {"number": 13}]', "no"):
        request = post(body, "X-Request-Id: same")
        with serving(parity) as served:
            expected = ask_once(served.port, request)
        with serving(parity, around=[AccessLog]) as served:
            found = ask_once(served.port, request)
        assert found.body == expected.body
        assert {**found.headers, "date": ""} == {**expected.headers, "date": ""}


def test_repeats() -> None:
    now = [0.0]
    repeats = Repeats(lambda: now[0])
    assert [repeats.left_out("a") for _ in range(3)] == [0, None, None]
    assert repeats.left_out("b") == 0
    now[0] = 1.0
    assert [repeats.left_out("a") for _ in range(2)] == [2, None]
    for number in range(2 * KINDS):
        repeats.left_out(number)
    assert repeats.left_out(2 * KINDS) is None  # one of many kinds
    assert repeats.left_out("b") == 0


def test_the_lines_of_the_parent(capsys: pytest.CaptureFixture[str]) -> None:
    Lines(ServeOptions()).say("hello", "info")
    Lines(ServeOptions(log_level="error")).say("hello", "info")
    Lines(ServeOptions(log_level="error")).announce("serving")
    Lines(ServeOptions(log_json=True)).say('a "word"\nor two', "warning")
    *lines, last = capsys.readouterr().err.splitlines()
    assert lines == ["twofold: hello", "serving"]
    record = json.loads(last)
    assert (record["level"], record["message"]) == ("warning", 'a "word"\nor two')


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    options = ServeOptions(log_predictions=0.5, log_folder=str(tmp_path / "file" / "folder"))
    with pytest.raises(UsageError, match=r"cannot be logged in .*folder: .* --log-folder"):
        check_folder(options)
    with pytest.raises(UsageError, match="from 0 to 1"):
        ServeOptions(log_predictions=1.5)
