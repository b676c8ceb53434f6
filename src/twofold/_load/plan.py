"""What a load is, and what is known after it: plain data, as it goes to the generator's process and back."""

from __future__ import annotations

from array import array
from typing import NamedTuple

import msgspec

__all__ = ["NO_ANSWER", "Answer", "LoadPlan", "LoadResult", "Progress"]

NO_ANSWER = 0


class Answer(NamedTuple):
    """The status and the body of an answer; status 0: the connection ended before the answer did."""

    status: int
    body: bytes


class LoadPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What to send. Bodies are sent in order, again from the first after the last.

    `rate` 0 is a closed loop: each of `connections` sends its next request when its answer is complete. The measured
    part ends when `min_seconds` are over and `min_requests` are answered, or after `max_seconds`.

    A `rate` (requests a second) is an open loop: requests fall due at random moments (Poisson, by `seed`) for
    `min_seconds`, whatever the server does. Connections are opened as they are needed, `connections` at most; what
    is due while all are busy waits here, and its latency runs. `settle_s` is how long answers may still come
    when the time is over.

    `stall_s` is how long one answer may take before its connection is given up, `connect_s` how long to try to connect.
    `headers` go with each request. `tls`: https, verified by the system's certificates, or by those of the file `ca`.
    """

    host: str
    port: int
    path: str = "/predict"
    headers: tuple[tuple[str, str], ...] = ()
    tls: bool = False
    ca: str = ""
    connections: int = 64
    rate: float = 0.0
    seed: int = 0
    min_seconds: float = 3.0
    min_requests: int = 0
    max_seconds: float = 120.0
    warmup_seconds: float = 0.0
    settle_s: float = 5.0
    stall_s: float = 90.0
    connect_s: float = 10.0


class Progress(msgspec.Struct, tag="progress"):
    """How far it is: `seconds` of the measured part (negative in the warm-up), measured answers, 200 and other."""

    seconds: float
    answered: int
    failed: int


class LoadResult(msgspec.Struct, kw_only=True, tag="result"):
    """What came back. `answers[i]` is the first measured answer to body i, or None where it was never asked.

    `statuses` counts all measured answers, `codes` those that are not 200 by status and the server's word ("429
    overloaded"). `seconds` is the measured time, in which `offered` requests fell due (a closed loop: were sent) and
    `achieved` got a 200. Doubles, in seconds: `answered_bytes` the latency of each 200, `refused_bytes` of each other
    answer, `waited_bytes` of each request that had none and still waited when the run ended (or for `stall_s`), how
    long it had waited until then, `late_bytes` how late each request was sent for which a connection was free when it
    fell due. `gone_s`: for how long, when the run ended, no connection was open and none could be made.
    `requests_with_warmup` includes those before it; `generator_cpu_s` is the generator's own CPU time over
    `generator_wall_s`.
    """

    seconds: float
    statuses: dict[int, int]
    codes: dict[str, int]
    answers: list[Answer | None]
    offered: int
    achieved: int
    answered_bytes: bytes
    refused_bytes: bytes
    waited_bytes: bytes
    late_bytes: bytes
    requests_with_warmup: int
    most_connections: int
    interrupted: bool
    gone_s: float
    generator_cpu_s: float
    generator_wall_s: float

    @property
    def requests(self) -> int:
        return sum(count for status, count in self.statuses.items() if status)

    @property
    def latencies_s(self) -> array[float]:
        """Of each measured answer, whatever its status."""
        return _doubles(self.answered_bytes + self.refused_bytes)

    @property
    def answered_s(self) -> array[float]:
        return _doubles(self.answered_bytes)

    @property
    def refused_s(self) -> array[float]:
        return _doubles(self.refused_bytes)

    @property
    def waited_s(self) -> array[float]:
        return _doubles(self.waited_bytes)

    @property
    def late_s(self) -> array[float]:
        return _doubles(self.late_bytes)

    @property
    def generator_busy(self) -> float:
        """The generator's share of one core; above about 0.9 it was the bottleneck."""
        return self.generator_cpu_s / self.generator_wall_s if self.generator_wall_s else 0.0


def _doubles(raw: bytes) -> array[float]:
    found = array("d")
    found.frombytes(raw)
    return found
