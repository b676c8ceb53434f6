"""`make demo`: both modes on real input, no network.

(a) even or odd; (b) the types of 2,000 real files, by the ONNX model that the `magika` package carries: served and
asked over HTTP, run in batch over the table of those files, and the two modes compared.
"""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import sysconfig
import time
import urllib.request
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq

import twofold

ROOT = Path(__file__).parent.parent
TWOFOLD = str(Path(sys.executable).parent / "twofold")
WORK = ROOT / ".demo"
N_FILES = 2000


def say(text: str) -> None:
    print(f"\n\033[1m{text}\033[0m" if sys.stdout.isatty() else f"\n{text}", flush=True)


def run(*words: str) -> None:
    print("$ twofold " + " ".join(w.removeprefix(f"{ROOT}/") for w in words), flush=True)
    subprocess.run([TWOFOLD, *words], cwd=ROOT, check=True)


def even_or_odd() -> None:
    parity = twofold.load(str(ROOT / "examples" / "parity" / "parity.py"))
    say("Even or odd, in real time and in batch")
    number = 7
    print(f"Input: {number}, Prediction: {parity(number)}")
    numbers = [2, 3, 4, 5, 6]
    print(f"Inputs: {numbers}\nPredictions: {twofold.batch(parity, numbers)}")


def ask(url: str, content: bytes) -> str:
    body = json.dumps({"content": base64.b64encode(content).decode()}).encode()
    request = urllib.request.Request(f"{url}/predict", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        return str(json.load(answer)["label"])


def ask_over_http(model: str, files: Path) -> None:
    """Serves the model, and asks for each file, one request at a time."""
    command = [TWOFOLD, "serve", model, "--port", "0"]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as server:
        assert server.stderr is not None
        line = server.stderr.readline().strip()
        print(f"$ twofold serve {model.removeprefix(f'{ROOT}/')} --port 0\n{line}")
        url = line.split()[-1]
        try:
            contents = pq.read_table(files, columns=["content"])["content"].to_pylist()
            start = time.perf_counter()
            labels = Counter(ask(url, content) for content in contents)
            seconds = time.perf_counter() - start
        finally:
            server.terminate()
    common = ", ".join(f"{n} {label}" for label, n in labels.most_common(6))
    print(f"{len(contents)} files in {seconds:.1f} s, {1000 * seconds / len(contents):.1f} ms each: {common}, …")


def file_types() -> None:
    folder = ROOT / "examples" / "file_types"
    model, files, labels = str(folder / "model.py"), WORK / "files.parquet", WORK / "labels.parquet"
    say(f"The types of {N_FILES} real files, in real time and in batch")
    installed = sysconfig.get_paths()["purelib"]
    subprocess.run([sys.executable, folder / "make_data.py", installed, files, str(N_FILES)], check=True)
    ask_over_http(model, files)
    run("batch", model, str(files), str(labels), "--overwrite")
    run("compare", model, str(files), "--limit", str(N_FILES))


if __name__ == "__main__":
    WORK.mkdir(exist_ok=True)
    even_or_odd()
    file_types()
