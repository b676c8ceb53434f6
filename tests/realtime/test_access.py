"""Keys, TLS and pages of other origins: the same on the fast lane and beside it."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import httpx
import pytest

import twofold
from tests.certificates import Certificates
from tests.realtime.serving import serving
from tests.served import started
from twofold._errors import UsageError
from twofold._options import ServeOptions
from twofold._realtime.http.access import Access, Keys
from twofold._realtime.http.keys import read_keys

KEYS = Keys(["first-key", "second-key"])


@twofold.model
def parity(number: int) -> str:
    return "Even" if number % 2 == 0 else "Odd"


def bearer(key: str, scheme: str = "Bearer") -> dict[str, str]:
    return {"Authorization": f"{scheme} {key}"}


@pytest.fixture(params=[True, False], ids=["lane", "app"])
def client(request: pytest.FixtureRequest) -> Any:
    with (
        serving(parity, fast_lane=request.param, access=Access(keys=KEYS)) as server,
        httpx.Client(base_url=f"http://127.0.0.1:{server.port}") as client,
    ):
        yield client


def test_a_key_lets_in_and_its_absence_does_not(client: httpx.Client) -> None:
    for key in ("first-key", "second-key"):
        for _ in range(3):  # the same head again
            answer = client.post("/predict", json={"number": 7}, headers=bearer(key))
            assert (answer.status_code, answer.json()) == (200, {"prediction": "Odd"})
    assert client.post("/predict", json={"number": 7}, headers=bearer("first-key", "bearer")).status_code == 200
    almost = [bearer("first-ke"), bearer("first-keyy"), bearer("first-key", "Basic"), bearer("ключ")]
    refused: list[dict[str, str]] = [{}, {"Authorization": "Bearer"}, *almost]
    for headers in refused:
        encoded = {name.encode(): value.encode() for name, value in headers.items()}
        answer = client.post("/predict", json={"number": 7}, headers=encoded)
        assert answer.status_code == 401, headers
        assert answer.headers["www-authenticate"] == 'Bearer realm="twofold"'
        assert answer.json()["code"] == "unauthorized"
        assert "Authorization: Bearer KEY" in answer.json()["detail"]
    again = client.post("/predict", json={"number": 7}, headers=bearer("first-key"))
    assert again.status_code == 200


def test_two_authorization_headers_are_none(client: httpx.Client) -> None:
    twice = [("Authorization", "Bearer first-key"), ("Authorization", "Bearer wrong")]
    assert client.post("/predict", json={"number": 7}, headers=twice).status_code == 401


def test_what_is_open_and_what_is_not(client: httpx.Client) -> None:
    for path in ("/", "/docs", "/static/style.css", "/health/live", "/health/ready", "/v2/health/live"):
        assert client.get(path).status_code == 200, path
    for path in ("/openapi.json", "/models", "/v2", "/v2/models/parity", "/nothing", "/docs/x"):
        assert client.get(path).status_code == 401, path
        assert client.get(path, headers=bearer("first-key")).status_code != 401, path


def test_each_protocol_refuses_in_its_own_form(client: httpx.Client) -> None:
    body = {"inputs": [{"name": "number", "shape": [1], "datatype": "INT64", "data": [7]}]}
    answer = client.post("/v2/models/parity/infer", json=body)
    assert answer.status_code == 401
    assert set(answer.json()) == {"error"}
    assert client.post("/v2/models/parity/infer", json=body, headers=bearer("first-key")).status_code == 200


def test_pages_of_other_origins_are_let_in_only_when_named() -> None:
    asked = {"Origin": "https://shop.example", "Access-Control-Request-Method": "POST"}
    with serving(parity) as server, httpx.Client(base_url=f"http://127.0.0.1:{server.port}") as client:
        answer = client.post("/predict", json={"number": 7}, headers={"Origin": "https://shop.example"})
        assert "access-control-allow-origin" not in answer.headers
    access = Access(keys=KEYS, origins=("https://shop.example",))
    with serving(parity, access=access) as server, httpx.Client(base_url=f"http://127.0.0.1:{server.port}") as client:
        before = client.options("/predict", headers={**asked, "Access-Control-Request-Headers": "authorization"})
        assert before.status_code == 200
        assert before.headers["access-control-allow-origin"] == "https://shop.example"
        headers = {"Origin": "https://shop.example", **bearer("first-key")}
        for _ in range(2):
            answer = client.post("/predict", json={"number": 7}, headers=headers)
            assert (answer.status_code, answer.json()) == (200, {"prediction": "Odd"})
            assert answer.headers["access-control-allow-origin"] == "https://shop.example"
        exposed = answer.headers["access-control-expose-headers"].split(", ")
        assert {"Model-Version", "Inference-Header-Content-Length"} < set(exposed)
        other = client.options("/predict", headers={**asked, "Origin": "https://else.example"})
        assert "access-control-allow-origin" not in other.headers


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_tls_both_ways_and_on_the_lane(certificates: Certificates, loop: str) -> None:
    trusting = ssl.create_default_context(cafile=certificates.authority)
    access = Access(certificate=str(certificates.both))
    with (
        serving(parity, loop=loop, access=access) as server,
        httpx.Client(base_url=f"https://127.0.0.1:{server.port}", verify=trusting) as client,
    ):
        for _ in range(3):
            assert client.post("/predict", json={"number": 7}).json() == {"prediction": "Odd"}
        large = client.post("/predict", content=b"[" + b" " * 3_000_000 + b"]", headers={"content-type": "text/plain"})
        assert large.status_code == 415
        assert client.post("/predict", json={"number": "x"}).status_code == 422
        with pytest.raises(httpx.HTTPError):
            httpx.get(f"http://127.0.0.1:{server.port}/health/live")
        assert client.get("/health/live").status_code == 200


def test_serve_asks_for_a_key_and_does_not_show_it(tmp_path: Path) -> None:
    (tmp_path / "parity.py").write_text(
        "import twofold\n\n\n@twofold.model\ndef parity(number: int) -> str:\n    return 'Even'\n"
    )
    (tmp_path / "keys.txt").write_text("# for the shop\nfirst-key\n\nsecond-key\n")
    with started("serve", tmp_path / "parity.py", "--port", "0", "--api-key", tmp_path / "keys.txt") as server:
        server.wait_until_ready()
        assert server.ask({"number": 1})[0] == 401
        with twofold.connect(f"http://127.0.0.1:{server.port}", api_key="second-key") as client:
            assert client(number=2) == "Even"
        for pid in server.workers():
            assert "-key" not in Path(f"/proc/{pid}/cmdline").read_text().replace("--api-key", "")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "my-host"])
def test_an_address_that_others_reach_needs_a_key_or_a_word(host: str) -> None:
    with pytest.raises(UsageError, match=r"TWOFOLD_API_KEY.*--no-auth"):
        ServeOptions(host=host)
    assert ServeOptions(host=host, no_auth=True).api_keys == ()
    with pytest.raises(UsageError, match="exclude each other"):
        ServeOptions(host=host, no_auth=True, api_keys=["a"])
    assert "s3cret" not in repr(ServeOptions(host=host, api_keys=("s3cret",)))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_loopback_needs_none(host: str) -> None:
    assert ServeOptions(host=host).host == host


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (None, "cannot be read"),
        ("# none\n", "There is no API key"),
        ("good\nwith space\n", "API key 2"),
        ("ключ", "API key 1"),
    ],
)
def test_files_without_usable_keys(tmp_path: Path, text: str | None, why: str) -> None:
    if text is not None:
        (tmp_path / "keys").write_text(text, "utf-8")
    with pytest.raises(UsageError, match=why):
        read_keys(tmp_path / "keys")


def test_a_certificate_that_is_none_ends_the_start(tmp_path: Path) -> None:
    (tmp_path / "c.pem").write_text("nothing")
    (tmp_path / "parity.py").write_text("import twofold\n@twofold.model\ndef p(n: int) -> int:\n    return n\n")
    with pytest.raises(UsageError, match=r"cannot be used for TLS"):
        twofold.serve(tmp_path / "parity.py", background=True, tls_certificate=str(tmp_path / "c.pem"))


@pytest.mark.parametrize("origin", ["shop.example", "https://shop.example/", "https://shop.example/page", "", "null x"])
def test_what_is_no_origin(origin: str):
    with pytest.raises(UsageError, match="not the origin of a page"):
        ServeOptions(cors_origins=[origin])


def test_origins():
    given = ["https://shop.example", "http://localhost:3000", "http://[::1]:80", "chrome-extension://abc", "*"]
    assert ServeOptions(cors_origins=given).cors_origins == given


def test_ports_of_their_own():
    with pytest.raises(UsageError, match="ports of their own"):
        ServeOptions(port=8000, grpc_port=8000)
    assert ServeOptions(port=0, grpc_port=0, metrics_port=0).ports == {"http": 0, "grpc": 0, "metrics": 0}
