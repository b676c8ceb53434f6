"""What the generator notes of each answer. Cheap, as it is done for every one of them."""

from __future__ import annotations

import time
from array import array

from twofold._load.plan import NO_ANSWER, Answer, LoadResult, Progress
from twofold._wire.exchange import problem_code

__all__ = ["Record"]


CODE_CHARACTERS = 40


class Record:
    """The measured part of one run."""

    def __init__(self, bodies: int) -> None:
        self.measuring = False
        self.began_s = self.ended_s = 0.0  # time.perf_counter()
        self.asked_ever = 0
        self.offered = 0
        self.achieved = 0
        self.late_s: array[float] = array("d")
        self._answers: list[Answer | None] = [None] * bodies
        self._answered_s: array[float] = array("d")
        self._refused_s: array[float] = array("d")
        self._waited_s: array[float] = array("d")
        self._statuses: dict[int, int] = {}
        self._codes: dict[str, int] = {}

    @property
    def answered(self) -> int:
        """Measured answers, whatever their status."""
        return len(self._answered_s) + len(self._refused_s)

    def begin(self, now_s: float) -> None:
        self.began_s = self.ended_s = now_s
        self.offered = 0
        self.measuring = True

    def answer(self, index: int, status: int, body: bytes, latency_s: float) -> None:
        self._statuses[status] = self._statuses.get(status, 0) + 1
        if status == 200:
            self._answered_s.append(latency_s)
        else:
            self._refused_s.append(latency_s)
            self._count(f"{status} {problem_code(body)[:CODE_CHARACTERS]}".rstrip())
        if self._answers[index] is None:
            self._answers[index] = Answer(status, body)

    def lost(self, index: int, why: str, waited_s: float | None) -> None:
        """A request that will not be answered. `waited_s`: how long it has waited, where its answer could still have
        come; None: it failed, which took no time that says anything."""
        self._statuses[NO_ANSWER] = self._statuses.get(NO_ANSWER, 0) + 1
        self._count(why)
        if waited_s is not None:
            self._waited_s.append(waited_s)
        if self._answers[index] is None:
            self._answers[index] = Answer(NO_ANSWER, b"")

    def progress(self, now_s: float, start_s: float) -> Progress:
        """`start_s`: when the measured part will begin, where it has not."""
        lost = self._statuses.get(NO_ANSWER, 0)
        seconds = now_s - (self.began_s if self.measuring else start_s)
        return Progress(seconds, len(self._answered_s), len(self._refused_s) + lost)

    def result(
        self, *, most_connections: int, interrupted: bool, gone_s: float, cpu_s: float, wall_s: float
    ) -> LoadResult:
        return LoadResult(
            seconds=max(self.ended_s - self.began_s, 1e-9),
            statuses=self._statuses,
            codes=self._codes,
            answers=self._answers,
            offered=self.offered,
            achieved=self.achieved,
            answered_bytes=self._answered_s.tobytes(),
            refused_bytes=self._refused_s.tobytes(),
            waited_bytes=self._waited_s.tobytes(),
            late_bytes=self.late_s.tobytes(),
            requests_with_warmup=self.asked_ever,
            most_connections=most_connections,
            interrupted=interrupted,
            gone_s=gone_s,
            generator_cpu_s=time.process_time() - cpu_s,
            generator_wall_s=time.perf_counter() - wall_s,
        )

    def _count(self, code: str) -> None:
        self._codes[code] = self._codes.get(code, 0) + 1
