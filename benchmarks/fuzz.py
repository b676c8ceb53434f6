"""Requests that nobody would send: the server answers each in time, as it declares, and never with its own failure.

    python -m benchmarks.fuzz [--quick] [--seed 1] [--only "OIP JSON"] [--block 17]

Of each protocol as many, made out of good ones (values exchanged, names lost, bytes cut, headers of all kinds) and sent
through sockets, in blocks. An answer must have a status and a content type that the server's OpenAPI document declares
of the route; it is no 5xx (but 504 for a request with a deadline of its own), and it is there within 20 seconds. After
each block requests that are known to be good must be answered rightly, and the log must hold no traceback. What is
found is shown with the options that repeat its block. The memory of the server must stay as it was after the first
blocks. Before all that Schemathesis, where it is installed, asks by the document itself.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from benchmarks.fuzzing.models import MODELS
from benchmarks.fuzzing.openapi import ask_all
from benchmarks.fuzzing.other import GRPC_ALLOWED, GrpcCaller, malformed
from benchmarks.fuzzing.rules import Rules, check_good, get_json, oip_inputs
from benchmarks.fuzzing.server import Server, serving
from benchmarks.fuzzing.targets import Make, http_targets
from benchmarks.fuzzing.wire import Wire, statuses_of, talk
from benchmarks.results import OURS, Goal, Results

__all__ = ["Fuzzer"]

BLOCK = 500
SCHEMA_EXAMPLES = 10  # of an operation, and as many that do not fit its schemas
FULL, QUICK = (200_000, 900.0), (4_000, 60.0)  # requests; seconds that they may take
GOOD = ("200", "OK")  # over HTTP, over gRPC
GREW_MIB = 64  # what caches and allocators may take in the long run

Counts = Counter[str]


class Fuzzer:
    """Asks one server. `marker` is a file that must never appear; `grpc_address` "": no gRPC."""

    def __init__(self, port: int, grpc_address: str, marker: Path) -> None:
        self.port = port
        self._marker = marker
        self._wire = Wire(port)
        inputs = oip_inputs(port)
        self._http = http_targets(inputs, str(marker))
        self._rules = Rules(get_json(port, "/openapi.json"))
        self._statuses = {*range(100, 101), 200, 400, 401, 404, 405, 406, 408, 413, 415, 422, 429, 431, 504}
        self._grpc = GrpcCaller(grpc_address, inputs) if grpc_address else None
        blocks: dict[str, Callable[[random.Random, int], Counts]] = {
            name: lambda chance, size, make=make: self._bodies(make, chance, size)  # type: ignore[misc]
            for name, make in self._http.items()
        }
        blocks["bent HTTP"] = self._connections
        if self._grpc is not None:
            blocks["gRPC"] = self._calls
        self.blocks = blocks

    def close(self) -> None:
        self._wire.close()
        if self._grpc is not None:
            self._grpc.close()

    def block(self, name: str, seed: str, size: int) -> Counts:
        """So many requests of a kind; how often each status came. Raises AssertionError or NoAnswer for a finding."""
        counts = self.blocks[name](random.Random(f"{seed} {name}"), size)
        check_good(self._wire)
        assert self._grpc is None or self._grpc.good()
        assert not self._marker.exists(), "a body was unpickled"
        return counts

    def _bodies(self, make: Make, chance: random.Random, size: int) -> Counts:
        counts: Counts = Counter()
        for _ in range(size):
            sent = make(chance)
            try:
                reply = self._wire.ask(sent.written())
            except Exception as error:
                error.add_note(f"the request was {sent}")
                raise
            broken = self._rules.broken(sent, reply)
            assert not broken, f"{broken}: {reply.body[:600]!r} to {sent}"
            counts[str(reply.status)] += 1
        return counts

    def _connections(self, chance: random.Random, size: int) -> Counts:
        counts: Counts = Counter()
        makes = list(self._http.values())
        for _ in range(size):
            request = malformed(chance.choice(makes), chance)
            try:
                data = talk(self.port, request)
            except Exception as error:
                error.add_note(f"the bytes were {request!r}")
                raise
            found = statuses_of(data)
            assert set(found) <= self._statuses, f"{found} to {request!r}"
            counts.update(map(str, found) if found else ["none"])
        return counts

    def _calls(self, chance: random.Random, size: int) -> Counts:
        assert self._grpc is not None
        counts: Counts = Counter()
        for _ in range(size):
            status, said, message = self._grpc.ask(chance)
            assert status in GRPC_ALLOWED, f"{status} {said} to {message!r}"
            counts[status] += 1
        return counts


def _run(fuzzer: Fuzzer, server: Server, options: argparse.Namespace, results: Results) -> int:
    """How many findings there were."""
    names = [options.only] if options.only else list(fuzzer.blocks)
    bodies, seconds = QUICK if options.quick else FULL
    until = time.monotonic() + seconds
    asked: Counts = Counter()
    statuses: dict[str, Counts] = defaultdict(Counter)
    findings = 0
    memory: list[float] = []
    numbers = [options.block] if options.block is not None else range(-(-bodies // (BLOCK * len(names))))
    for number in numbers:
        for name in names:
            if time.monotonic() > until:
                break
            again = f"--seed {options.seed} --only {name!r} --block {number}"
            try:
                statuses[name] += fuzzer.block(name, f"{options.seed} {number}", BLOCK)
            except Exception as error:
                findings += 1
                told = " ".join([str(error), *getattr(error, "__notes__", ())])
                print(f"FOUND by {again}: {told[:3000]}", flush=True)
            asked[name] += BLOCK
            if said := server.tracebacks():
                findings += 1
                print(f"FOUND by {again}, in the log: {said[-2500:]}", flush=True)
        memory.append(server.memory_mib())
    _show(asked, statuses)
    for name, count in asked.items():
        results.add(
            "requests", name, "", {"asked": [count], "answered with 200": [statuses[name][GOOD[name == "gRPC"]]]}
        )
    kept = memory[min(len(memory) // 5, 5)]
    held = {"after the first blocks": [kept], "at the end": [memory[-1]]}
    results.add("memory of the server", "all its processes", "MiB", held)
    return findings + (memory[-1] > kept + GREW_MIB)


def _openapi(server: Server, results: Results) -> int:
    """What Schemathesis finds, where it is installed."""
    if find_spec("schemathesis") is None:
        results.notes.append("Schemathesis was not installed.")
        return 0
    try:
        statuses = ask_all(f"http://127.0.0.1:{server.port}", SCHEMA_EXAMPLES)
    except Exception as error:
        print(f"FOUND by Schemathesis: {str(error)[:3000]}", flush=True)
        return 1
    asked = {"asked": [statuses.total()], "answered with 200": [statuses["200"]]}
    results.add("requests", "Schemathesis", "", asked)
    return 0


def _show(asked: Counts, statuses: dict[str, Counts]) -> None:
    for name, count in asked.items():
        found = "  ".join(f"{status} {n:,}" for status, n in sorted(statuses[name].items()))
        print(f"{name:12}{count:>8,}   {found}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK[0]:,} requests")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="one kind of requests")
    parser.add_argument("--block", type=int, help="one block, as it is named where something was found")
    options = parser.parse_args()
    file = Path(__file__).parent / "fuzzing" / "models.py"
    part = bool(options.only or options.block is not None)
    began = time.perf_counter()
    results = Results.begin("fuzz", 1, quick=options.quick or part)
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder), file, MODELS) as server:
        fuzzer = Fuzzer(server.port, server.grpc_address, Path(folder) / "unpickled")
        try:
            findings = _openapi(server, results) + _run(fuzzer, server, options, results)
        finally:
            fuzzer.close()
    results.add("all of them", "findings", "", {OURS: [findings]}, Goal(0))
    results.save(time.perf_counter() - began)
    return 1 if findings else 0


if __name__ == "__main__":
    raise SystemExit(main())
