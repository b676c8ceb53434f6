"""`twofold stream` over a pipe, as a user runs it."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.cli.commands import PICKY, twofold


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "picky.py").write_text(PICKY)
    return tmp_path


def test_lines_in_lines_out(folder: Path) -> None:
    done = twofold("stream", "picky.py", "-", "-", cwd=folder, stdin=b'{"number":1,"who":"me"}\n\n{"number":2}')
    assert done.stdout == (
        '{"number":1,"who":"me","prediction":"fine","_id":"1"}\n{"number":2,"prediction":"fine","_id":"3"}\n'
    )
    assert re.fullmatch(r"2 messages in \S+ s \(\S+ messages/s\)\n", done.stderr)
    assert done.returncode == 0


def test_dead_letters_go_to_standard_error_and_the_exit_code_says_so(folder: Path) -> None:
    lines = b'{"number":13}\n{"number":0}\n{"number":1}\noops\n'
    done = twofold("stream", "picky.py", "-", "-", "--keep", "", "--json", cwd=folder, stdin=lines)
    assert done.stdout == '{"prediction":"fine","_id":"3"}\n'
    *dead, summary = map(json.loads, done.stderr.splitlines())
    assert [(each["_position"], each["_error"]["code"]) for each in dead] == [
        ("1", "bad_row"), ("2", "model_failed"), ("4", "not_json"),
    ]  # fmt: skip
    assert (summary["messages"], summary["answered"], summary["dead_letters"]) == (4, 1, 3)
    assert done.returncode == 3


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_finishes_what_is_in_flight_and_metrics_show_meanwhile(folder: Path, number: int) -> None:
    command = [sys.executable, "-m", "twofold", "stream", "picky.py", "-", "-", "--metrics-port", "0"]
    process = subprocess.Popen(command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE)  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    url = re.search(rb"http://\S+", process.stderr.readline())
    assert url is not None
    process.stdin.write(b'{"number":5}\n{"num')
    process.stdin.flush()
    assert process.stdout.readline() == b'{"number":5,"prediction":"fine","_id":"1"}\n'
    with urllib.request.urlopen(url[0].decode(), timeout=10) as answer:
        text = answer.read().decode()
    assert 'twofold_stream_messages_total{outcome="answered"}' in text
    assert "twofold_stream_seconds_bucket" in text
    process.send_signal(number)
    process.wait(20)  # before its input ends
    out, err = process.communicate()
    assert (out, process.returncode) == (b"", 0)
    assert err.startswith(b"1 messages in ")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["numbers.jsonl", "-"], "SOURCE 'numbers.jsonl' names no server and topic. SOURCE and SINK are -"),
        (["-", "kafka://h"], "SINK 'kafka://h' names no server and topic."),
        (["-", "-", "--dead-letters", "x://h/t"], "--dead-letters 'x://h/t': there is no x://."),
        (["-", "-", "--rename", "label=a"], "the model has no output 'label'. Its outputs: prediction."),
        (["nats://127.0.0.1:1/t", "-"], "needs group=…"),
    ],
)
def test_what_cannot_be_is_said_and_exits_2(folder: Path, words: list[str], said: str) -> None:
    done = twofold("stream", "picky.py", *words, cwd=folder)
    assert said in done.stderr
    assert done.returncode == 2
    assert not done.stdout
