"""examples/deploy, as far as it can be checked without a cluster: schemas, and the very command lines."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.examples.modes import EXAMPLES, TWOFOLD

yaml = pytest.importorskip("yaml")

FOLDER = EXAMPLES / "deploy"
MANIFESTS = ["serve.yaml", "batch.yaml"]


def documents(name: str) -> dict[str, Any]:
    """The documents of a manifest by their kind."""
    return {found["kind"]: found for found in yaml.safe_load_all((FOLDER / name).read_text())}


def container(template: dict[str, Any]) -> dict[str, Any]:
    (found,) = template["spec"]["containers"]
    assert isinstance(found, dict)
    return found


@pytest.fixture
def deployment() -> dict[str, Any]:
    found = documents("serve.yaml")["Deployment"]["spec"]
    assert isinstance(found, dict)
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(FOLDER, tmp_path / "app"))


@pytest.mark.parametrize("name", MANIFESTS)
def test_the_manifests_fit_the_schemas(name: str):
    validate = pytest.importorskip("kubernetes_validate")
    for found in documents(name).values():
        validate.validate(found, validate.latest_version(), strict=True)


def test_labels_and_ports_meet(deployment: dict[str, Any]):
    labels = deployment["template"]["metadata"]["labels"]
    found = documents("serve.yaml")
    assert deployment["selector"]["matchLabels"] == labels
    assert found["Service"]["spec"]["selector"] == labels
    assert found["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels
    served = container(deployment["template"])
    ports = {port["name"]: port["containerPort"] for port in served["ports"]}
    assert found["Service"]["spec"]["ports"][0]["targetPort"] in ports
    assert ports["http"] == int(flags(served["args"])["port"])
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert served[probe]["httpGet"]["port"] in ports
    claims = {v["persistentVolumeClaim"]["claimName"] for v in job()["spec"]["volumes"] if "persistentVolumeClaim" in v}
    assert claims == {documents("batch.yaml")["PersistentVolumeClaim"]["metadata"]["name"]}


def test_there_is_time_to_drain(deployment: dict[str, Any]):
    given = flags(container(deployment["template"])["args"])
    drain_s = float(given["drain-delay"]) + float(given["drain-timeout"])
    assert float(given["deadline"]) <= float(given["drain-timeout"])
    assert drain_s + 5 <= deployment["template"]["spec"]["terminationGracePeriodSeconds"]


@pytest.mark.parametrize("name", MANIFESTS)
def test_nothing_runs_as_root_or_writes_to_the_image(name: str, deployment: dict[str, Any]):
    template = deployment["template"] if name == "serve.yaml" else job()
    pod, inside = template["spec"], container(template)["securityContext"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert f"USER {pod['securityContext']['runAsUser']}:{pod['securityContext']['runAsGroup']}" in instructions()
    assert inside["readOnlyRootFilesystem"]
    assert not inside["allowPrivilegeEscalation"]
    assert inside["capabilities"] == {"drop": ["ALL"]}


def job() -> dict[str, Any]:
    found = documents("batch.yaml")["CronJob"]["spec"]["jobTemplate"]["spec"]["template"]
    assert isinstance(found, dict)
    return found


def flags(args: list[str]) -> dict[str, str]:
    return dict(arg[2:].split("=", 1) for arg in args if arg.startswith("--") and "=" in arg)


# ---- the command lines ---------------------------------------------------------------------------------------------


def status(port: int, path: str, body: bytes | None = None, **headers: str) -> int:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}", body, {"Content-Type": "application/json", **headers} if body else headers
    )
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code
    except OSError:
        return 0


@pytest.fixture
def metrics() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@pytest.fixture
def port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def test_the_deployment_serves_is_probed_and_drains(deployment: dict[str, Any], folder: Path, port: int, metrics: int):
    """The args of the manifest, but for the ports, on loopback."""
    served = container(deployment["template"])
    changed = {
        "--port=8000": f"--port={port}",
        "--metrics-port=9000": f"--metrics-port={metrics}",
        "--host=0.0.0.0": "--host=127.0.0.1",
        "--drain-delay=5": "--drain-delay=1",
    }
    args = [changed.get(arg, arg) for arg in served["args"]]
    paths = {name: served[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "liveness", "readiness")}
    (key,) = (entry["name"] for entry in served["env"])
    process = subprocess.Popen(
        [*TWOFOLD, *args], cwd=folder, stderr=subprocess.PIPE, text=True, env={**os.environ, key: "s3cret"}
    )
    assert process.stderr is not None
    try:
        until = time.monotonic() + 30
        while status(port, paths["startup"]) != 200 and time.monotonic() < until:
            time.sleep(0.05)
        assert [status(port, paths[name]) for name in ("liveness", "readiness")] == [200, 200]
        assert {"name": "metrics", "containerPort": int(flags(served["args"])["metrics-port"])} in served["ports"]
        assert status(metrics, "/metrics", Authorization="Bearer s3cret") == 200
        process.send_signal(signal.SIGTERM)
        time.sleep(0.4)
        assert status(port, "/predict", b'{"amount": 5}') == 401
        assert (
            status(port, "/predict", b'{"amount": 5}', Authorization="Bearer s3cret") == 200
        )  # the endpoints still point here
        assert status(port, paths["readiness"]) == 503
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.communicate()


def test_the_job_scores_and_goes_on_under_the_same_name(folder: Path, tmp_path: Path):
    data = tmp_path / "data"
    data.mkdir()
    (data / "payments.csv").write_text("id,amount,abroad\na,10,false\nb,2000,true\n")
    args = [
        arg.replace("/data", str(data)).replace("$(JOB)", "risk-scores-29000000") for arg in container(job())["args"]
    ]
    for _ in range(2):  # a second attempt of the same Job
        done = subprocess.run([*TWOFOLD, *args], cwd=folder, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["rows_out"] == 2
    table = pq.read_table(data / "risk-scores-29000000.parquet")
    assert table.to_pydict() == {"id": ["a", "b"], "prediction": [0.005, 0.8]}


# ---- the image -------------------------------------------------------------------------------------------------------


def instructions() -> list[str]:
    """The lines of the Dockerfile, each with what continues it."""
    text = re.sub(r"^#.*\n", "", (FOLDER / "Dockerfile").read_text(), flags=re.MULTILINE)
    return [line.strip() for line in re.sub(r"\\\n\s*", " ", text).splitlines() if line.strip()]


def test_the_image_is_built_from_what_is_here_and_ends_as_a_user():
    found = [line.split(" ", 1) for line in instructions()]
    names = [name for name, _ in found]
    assert names[0] == "FROM"
    assert set(names) <= {"FROM", "ARG", "ENV", "RUN", "WORKDIR", "COPY", "USER", "EXPOSE", "ENTRYPOINT", "CMD"}
    assert names.index("USER") > max(at for at, name in enumerate(names) if name == "RUN")
    last = dict(found)  # the last of each
    assert re.fullmatch(r"\d+:\d+", last["USER"])
    assert json.loads(last["ENTRYPOINT"]) == ["twofold"]
    assert json.loads(last["CMD"])[:2] == ["serve", "risk.py"]
    kept = {line[1:] for line in (FOLDER / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert "risk.py" in kept


@pytest.mark.parametrize("line", [line for line in instructions() if line.startswith("RUN ")])
def test_what_the_image_runs_is_a_shell_command(line: str):
    subprocess.run(["sh", "-n", "-c", line.removeprefix("RUN ")], check=True)


def test_what_the_image_says_of_its_model(folder: Path):
    """The last command of the build."""
    done = subprocess.run([*TWOFOLD, "describe", "risk.py"], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0
    assert "amount" in done.stdout


# ---- the dashboard ---------------------------------------------------------------------------------------------------


def shown_by_a_server() -> set[str]:
    pytest.importorskip("prometheus_client")
    from twofold._realtime.board import Board
    from twofold._realtime.exposition import exposition

    board = Board.create()
    try:
        text = exposition(board, [("risk", "0" * 12)]).decode()
    finally:
        board.close()
    return {name for line in text.splitlines() if not line.startswith("#") for name in re.findall(r"^\w+", line)}


@pytest.mark.skipif(sys.platform == "win32", reason="the board needs POSIX shared memory")
def test_the_dashboard_asks_for_metrics_that_there_are():
    dashboard = json.loads((FOLDER / "dashboard.json").read_text())
    asked = re.findall(r"twofold_\w+", json.dumps([dashboard["panels"], dashboard["templating"]]))
    assert len(set(asked)) >= 12
    assert set(asked) <= shown_by_a_server()


def test_the_panels_do_not_lie_on_each_other():
    dashboard = json.loads((FOLDER / "dashboard.json").read_text())
    cells = [
        (x, y)
        for at in (panel["gridPos"] for panel in dashboard["panels"])
        for x in range(at["x"], at["x"] + at["w"])
        for y in range(at["y"], at["y"] + at["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(ids) == len(set(ids))
