"""The Open Inference Protocol, asked by tritonclient. It needs an older protobuf than we have: uv gives it a Python."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.realtime import models
from tests.realtime.serving import serving

pytestmark = pytest.mark.heavy

TRITONCLIENT = "tritonclient[http,grpc]==2.73.0"


def test_tritonclient() -> None:
    pytest.importorskip("zttp")
    uv = Path(sys.executable).parent / "uv"
    script = Path(__file__).parent / "triton_client.py"
    with serving(models.parity, models.payment, grpc=True) as served:
        addresses = [f"127.0.0.1:{port}" for port in (served.port, served.grpc_port)]
        command = [uv, "run", "--no-project", "--isolated", "--python", sys.executable, "--with", TRITONCLIENT]
        done = subprocess.run(
            [*map(str, command), str(script), *addresses], capture_output=True, text=True, timeout=110
        )
    assert done.stdout == "ok\n", done.stderr
