"""twofold.testing.serve: a server for somebody's own tests."""

from __future__ import annotations

import os
import socket
import urllib.error
import urllib.request
from pathlib import Path

import pytest

import twofold
import twofold.testing
from tests.cli.commands import PARITY
from twofold._errors import DeadlineExceeded, ModelError, Unreachable, UsageError

OUTSIDE = """
import os
import twofold

@twofold.model
def where(_: int) -> int:
    return os.getpid()
"""


def test_a_model_of_the_test_itself():
    seen = []

    @twofold.model(example={"number": 1})
    def double(number: int) -> int:
        seen.append(number)
        return 2 * number

    with twofold.testing.serve(double) as served:
        assert served.client(4) == 8
        assert served.client.batch([1, 2]) == [2, 4]
        assert served.client.example == {"number": 1}
        assert seen == [4, 1, 2]
        with urllib.request.urlopen(f"{served.url}/health/ready") as answer:
            assert answer.status == 200
    with pytest.raises(Unreachable):
        twofold.connect(served.url)


def test_a_file(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    (tmp_path / "parity.py").write_text(PARITY)
    with twofold.testing.serve(tmp_path / "parity.py") as served:
        assert served.client(7) == "Odd"
    with twofold.testing.serve(twofold.load(tmp_path / "parity.py"), max_body_bytes=30) as served:
        assert served.client(8) == "Even"
        with pytest.raises(twofold.RequestFailed, match="30 bytes"):
            served.client.batch(range(20))
    assert capfd.readouterr() == ("", "")


def test_processes_where_they_are_asked_for(tmp_path: Path):
    (tmp_path / "where.py").write_text(OUTSIDE)
    with twofold.testing.serve(tmp_path / "where.py") as served:
        assert served.client(1) == os.getpid()
    with twofold.testing.serve(tmp_path / "where.py", workers=1, layout="inline") as served:
        assert served.client(1) != os.getpid()


def test_settings_and_errors(tmp_path: Path):
    @twofold.model
    def slow(seconds: float) -> str:
        import time

        time.sleep(seconds)
        return "done"

    with twofold.testing.serve(slow, deadline_s=0.2) as served:
        assert served.client(0) == "done"
        with pytest.raises(DeadlineExceeded):
            served.client(0.6)
    with pytest.raises(UsageError, match=r"serve has no setting 'deadline'\. Did you mean deadline_s"):
        twofold.testing.serve(slow, deadline=1).__enter__()
    with pytest.raises(ModelError):
        twofold.testing.serve(tmp_path / "none.py").__enter__()


def test_several_models():
    @twofold.model
    def double(number: int) -> int:
        return 2 * number

    @twofold.model
    def half(number: float) -> float:
        return number / 2

    with twofold.testing.serve({"twice": double, "half": half}) as served:
        assert served.client(4) == 8
        with twofold.connect(served.url, model="half") as other:
            assert other(3) == 1.5
    with pytest.raises(UsageError, match="cannot have the name 'a/b'"):
        twofold.testing.serve({"a/b": double}).__enter__()


def test_metrics_on_a_port_of_their_own():
    @twofold.model
    def double(number: int) -> int:
        return 2 * number

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with twofold.testing.serve(double, metrics_port=port) as served:
        assert served.client(4) == 8
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            assert b"twofold_requests_total" in answer.read()
        with pytest.raises(urllib.error.HTTPError):
            urllib.request.urlopen(f"{served.url}/metrics")


def test_a_port_that_is_taken_leaves_the_others_free():
    @twofold.model
    def double(number: int) -> int:
        return 2 * number

    with socket.create_server(("127.0.0.1", 0)) as taken, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        with pytest.raises(UsageError, match=r"Choose another one with --metrics-port"):
            twofold.testing.serve(double, port=port, metrics_port=taken.getsockname()[1]).__enter__()
        socket.create_server(("127.0.0.1", port)).close()


def test_an_error_in_the_test_ends_the_server_too():
    @twofold.model
    def same(number: int) -> int:
        return number

    with pytest.raises(ZeroDivisionError), twofold.testing.serve(same) as served:
        1 / 0  # noqa: B018
    with pytest.raises(Unreachable):
        twofold.connect(served.url)
