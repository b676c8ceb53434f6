"""The gRPC port of `twofold serve` and `twofold.serve`: real processes, a real client."""

from __future__ import annotations

import re
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import twofold
from tests.processes import wait_for
from tests.served import MODEL, started
from twofold._errors import MissingExtra

grpc = pytest.importorskip("grpc")
pytest.importorskip("zttp")
pytest.importorskip("google.protobuf")

from twofold._realtime.grpc.messages import message_class  # noqa: E402


class Caller:
    """Asks `fickle` on a connection of its own."""

    def __init__(self, address: str) -> None:
        self.channel = grpc.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)])
        self._infer = self.channel.unary_unary(
            "/inference.GRPCInferenceService/ModelInfer",
            lambda message: bytes(message.SerializeToString()),
            message_class("ModelInferResponse").FromString,
        )
        self._request = message_class("ModelInferRequest")

    def ask(self, text: str, **options: Any) -> str:
        tensor = {"name": "text", "datatype": "BYTES", "shape": [1], "contents": {"bytes_contents": [text.encode()]}}
        answer = self._infer(self._request(model_name="fickle", inputs=[tensor]), timeout=20, **options)
        return bytes(answer.outputs[0].contents.bytes_contents[0]).decode()


def balanced(address: str) -> list[Caller]:
    """Eight callers, answered by two processes once both of them accept."""

    def opened() -> list[Caller] | None:
        callers = [Caller(address) for _ in range(8)]
        if len({caller.ask("pid") for caller in callers}) == 2:
            return callers
        for caller in callers:
            caller.channel.close()
        return None

    callers = wait_for(opened)
    assert callers is not None
    return callers


def test_processes_share_the_port_and_are_replaced_under_load(tmp_path: Path) -> None:
    file = tmp_path / "model.py"
    file.write_text(MODEL)
    command = ("serve", f"{file}:fickle", "--port", "0", "--grpc-port", "0", "--workers", "2", "--inline")
    with started(*command) as server:
        wait_for(lambda: any("gRPC at" in line for line in server.lines), timeout_s=40)
        found = re.search(r"gRPC at (127\.0\.0\.1:\d+)$", server.lines[-1])
        assert found, server.lines
        callers = balanced(found[1])
        before = {caller.ask("pid") for caller in callers}
        failures: list[Exception] = []
        stop = threading.Event()

        def load(caller: Caller) -> None:
            while not stop.is_set():
                try:
                    caller.ask("a")
                except grpc.RpcError as error:
                    failures.append(error)

        threads = [threading.Thread(target=load, args=(caller,)) for caller in callers[:4]]
        for thread in threads:
            thread.start()
        server.process.send_signal(signal.SIGHUP)
        until = time.monotonic() + 30
        while before & {caller.ask("pid", wait_for_ready=True) for caller in callers} and time.monotonic() < until:
            time.sleep(0.1)
        stop.set()
        for thread in threads:
            thread.join()
        assert not failures, failures[:3]
        assert not before & {caller.ask("pid") for caller in callers}
        assert server.stop() == 0
        for caller in callers:
            caller.channel.close()


def test_a_model_process_that_is_lost_is_unavailable(tmp_path: Path) -> None:
    file = tmp_path / "model.py"
    file.write_text(MODEL)
    with started("serve", f"{file}:fickle", "--port", "0", "--grpc-port", "0", "--workers", "1", "--isolate") as server:
        wait_for(lambda: any("gRPC at" in line for line in server.lines), timeout_s=40)
        caller = Caller(server.lines[-1].rpartition(" ")[2])
        with pytest.raises(grpc.RpcError) as caught:
            caller.ask("crash")
        assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
        caller.channel.close()
        assert server.stop() == 0


def test_in_the_background() -> None:
    @twofold.model
    def fickle(text: str) -> str:
        return text + "?"

    with twofold.serve(fickle, background=True, grpc_port=0) as served:
        assert served.grpc_address is not None
        caller = Caller(served.grpc_address)
        assert caller.ask("a") == "a?"
        caller.channel.close()
    with twofold.serve(fickle, background=True) as served:
        assert served.grpc_address is None


@pytest.mark.parametrize(("package", "module"), [("zttp", "zttp"), ("protobuf", "google.protobuf")])
def test_without_the_packages_it_says_what_to_install(
    package: str, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("twofold._realtime.api.installed", lambda name: name != module)
    with pytest.raises(MissingExtra, match=rf"'{package}'. Install it: pip install 'twofold\[grpc\]'"):
        twofold.serve("model.py", grpc_port=0)
