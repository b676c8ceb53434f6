"""twofold bench: a server of its own, a server at a URL, and what it prints."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest

from tests.cli.commands import PARITY, twofold
from tests.compare.servers import answer
from tests.compare.servers import serving as tiny_server
from tests.processes import wait_for
from tests.realtime import models
from tests.realtime.serving import serving
from tests.scripted import GOOD, Scripted
from twofold._cli.units import DURATION, RATE
from twofold._load.target import is_url


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "parity.py").write_text(PARITY)
    (tmp_path / "numbers.csv").write_text("id,n\n" + "".join(f"{n},{n}\n" for n in range(20)) + "20,seven\n")
    return tmp_path


def test_a_model_is_served_measured_and_stopped(folder: Path):
    done = twofold(
        "bench", "parity.py", "--data", "numbers.csv", "--map", "number=n", "--duration", "600ms", "--workers", "1",
        "--json", cwd=folder,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert found["model"] == "parity"
    assert found["loop"] == "closed"
    assert found["connections"] == 64
    assert found["rows"] == "20 rows of numbers.csv"
    assert found["rows_unfit"] == 1
    assert found["errors"] == {}
    assert found["seconds"] == pytest.approx(0.6, abs=0.2)
    assert found["answered"] >= 64
    assert 0 < found["latency_ms"]["p50"] <= found["latency_ms"]["max"]
    assert found["within_deadline"] is None
    assert list(folder.glob("*.twofold")) == []


def test_a_server_at_a_rate(folder: Path):
    with serving(models.parity) as served:
        url = f"127.0.0.1:{served.port}"
        done = twofold("bench", url, "--rate", "6000/min", "--duration", "1s", "--deadline", "20s", cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    said = done.stdout
    assert f"parity, version 0123456789ab, at http://{url}\n" in said
    assert "1 s; 100 requests/s at random moments; the model's example row\n" in said
    assert re.search(r"in time +100\.00 % +answered within 20,000 ms", said)
    assert "p99             —  needs 459 samples, and there are" in said
    assert "Latency of a request since it fell due\n  p50 " in said
    assert "█" in said


def test_errors_by_status_and_word(folder: Path):
    with serving(models.parity) as served:
        (folder / "bad.jsonl").write_text('{"number": 13}\n{"number": 66}\n{"number": 7}\n')
        url = f"http://127.0.0.1:{served.port}"
        done = twofold("bench", url, "--data", "bad.jsonl", "--connections", "1", "--duration", "0.3", cwd=folder)
        assert done.returncode == 0
        assert "× 422 bad_row" in done.stdout
        assert "× 500 model_failed" in done.stdout
        (folder / "bad.jsonl").write_text('{"number": 13}\n')
        none = twofold("bench", url, "--data", "bad.jsonl", "--rate", "50", "--duration", "0.3", cwd=folder)
        assert none.returncode == 1
        assert "none: no request was answered" in none.stdout


def test_ctrl_c_prints_what_was_measured(folder: Path):
    with Scripted([GOOD]) as server:
        command = [sys.executable, "-m", "twofold", "bench", server.url, "--rate", "200", "--json"]
        process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        wait_for(lambda: len(server.heads) > 400)  # of which about 200 in the warm-up
        os.kill(process.pid, signal.SIGINT)
        said, complaint = process.communicate(timeout=20)
    assert (process.returncode, complaint) == (130, "")
    found = json.loads(said)
    assert found["interrupted"]
    assert 0 < found["seconds"] < 9
    assert found["answered"] == found["offered"] > 0


def test_the_deadline_and_the_key_are_sent(folder: Path):
    with Scripted([GOOD]) as server:
        done = twofold(
            "bench", server.url, "--deadline", "20ms", "--duration", "0.2", "--connections", "2", cwd=folder,
            env={"TWOFOLD_API_KEY": "secret"},
        )  # fmt: skip
        assert done.returncode == 0
        assert "X-Deadline-Ms: 20\r\n" in server.heads[-1]
        assert "Authorization: Bearer secret\r\n" in server.heads[-1]


def test_what_is_no_server(folder: Path):
    async def other(body: bytes, served: Any) -> bytes:
        return answer(b"hello")

    with tiny_server(other) as (port, _):
        done = twofold("bench", f"127.0.0.1:{port}", cwd=folder)
    assert done.returncode == 1
    assert "is no twofold server" in done.stderr
    nobody = twofold("bench", f"127.0.0.1:{port}", cwd=folder)
    assert nobody.returncode == 1
    assert "nobody answers" in nobody.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--rate", "fast"], "'fast' is no rate. It looks like 500/s or 30/min."),
        (["--duration", "10 parsecs"], "'10 parsecs' is no duration. It looks like 10s, 500ms or 2m."),
        (["--deadline", "0"], "it must be more than 0"),
        (["--workers", "2"], "are of a server that is started here"),
        (["--data", "none.csv"], "none.csv"),
    ],
)
def test_usage(folder: Path, words: list[str], said: str):
    with serving(models.parity) as served:
        done = twofold("bench", f"127.0.0.1:{served.port}", *words, cwd=folder)
    assert done.returncode in (1, 2)
    assert said in done.stderr


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("10s", 10.0), ("500ms", 0.5), ("2m", 120.0), ("2 min", 120.0), ("1h", 3600.0), ("1.5", 1.5), (3, 3.0)],
)
def test_durations(text: str | int, seconds: float):
    assert DURATION.convert(text, None, None) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("text", "rate"), [("500/s", 500.0), ("30/min", 0.5), ("7200/h", 2.0), ("20", 20.0), ("1,000/s", 1000.0)]
)
def test_rates(text: str, rate: float):
    assert RATE.convert(text, None, None) == pytest.approx(rate)


@pytest.mark.parametrize("text", ["", "s", "-1s", "0/s", "1/fortnight", "nan", "5/", "1e999"])
def test_what_is_no_rate(text: str):
    with pytest.raises(click.BadParameter):
        RATE.convert(text, None, None)


@pytest.mark.parametrize("text", ["http://a", "https://a:1/b", "localhost:8000", "10.0.0.1:80/models/x", "a:80"])
def test_urls(text: str):
    assert is_url(text)


@pytest.mark.parametrize("text", ["parity.py", "a/b.py:Name", "fraud.onnx", "pkg.mod:name", ":80", "model.py:"])
def test_models(text: str):
    assert not is_url(text)
