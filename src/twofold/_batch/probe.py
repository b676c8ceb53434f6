"""What the model costs, measured on the first rows of the input and told to its profile.

From t(n) follow the rows of a call, from the cost of a row those of a split (a second or two of work), and from calls
of short and long rows, mixed and apart, whether rows of like length go together.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

import numpy as np

from twofold._batch.executors.base import Measured
from twofold._batch.lengths import lengths_of, measurable
from twofold._batch.mapping import Rows
from twofold._batch.shape import BATCH_ROWS
from twofold._batch.work import SplitTask, Work
from twofold._model import Model
from twofold._profile import Profile, profile_path
from twofold._runner import Runner

__all__ = ["fitting_rows", "measure", "pays_by_length"]

SIZES = (1, 4, 16, 64, 256, 1024, 4096, 16384)
BY_ROW_SIZES = (1, 16, 256, 2048)
SHARE = 0.01
LEAST_S, MOST_S = 0.2, 1.0
"""The calls may take a hundredth of what the run will, within these."""
AGAIN_S = 0.01
"""A call that takes less is repeated: one alone says little."""
CALL_S = 2e-4
"""What a call costs beside the model: rows cut out, messages, answers put together."""
BUSY = 0.1
"""Calls are compared by the CPU they use, which others on the machine hardly change; by the clock where it is less than
this share: such a model waits for something."""
GAIN = 0.03
SHORT_S, DEARER = 0.02, 1.15
"""A call that is shorter than this may have more rows, unless they cost so many times as much: what was measured is not
exact, and many calls cost more than few."""
SURE_ROWS = 64
"""Calls of so many rows are tried for any input; larger ones up to a hundredth of its rows."""
UNTRIED_ROWS, UNTRIED_S = 32, 0.1
"""Calls larger than any that was tried have so many rows, or as many as take so long."""
GROUP_ROWS = 4
SHORT, LONG = 0.25, 0.9
LONGER = 1.5
LEAST_ROW_S = 2e-5
"""Sorting, and putting answers back in order, costs a microsecond or two a row."""
PAYS = 0.9
LOOKS, CLEAR = 3, (0.75, 0.97)
"""Calls that are quick, or leave it open, are looked at so many times."""


def measure(model: Model, work: Work, task: SplitTask, n_rows: int) -> Measured | None:
    """What calls cost, from the first rows of a split that fit, for a run over `n_rows`; None where none does."""
    by_row = model.form == "rows"
    sizes = BY_ROW_SIZES if by_row else SIZES
    piece = next(work.pieces(task, min(sum(sizes), work.shape.piece_rows)), None)
    if piece is None:
        return None
    rows = work.reading.read(piece).rows
    if not rows.n_rows:
        return None
    runner, profile = Runner(model), Profile.read(profile_path(model.version))
    clock = _Clock(runner, rows)
    clock.call(0, 1)  # it warms up
    row_s = clock.call(0, 1)
    clock.left_s = min(MOST_S, max(LEAST_S, SHARE * row_s * n_rows)) - row_s
    by_length = not by_row and bool(measurable(work.signature)) and pays_by_length(clock, work, row_s)
    if by_length:
        rows = clock.of_like_length(lengths_of(rows, work.signature))
    together = max(model.concurrency or 1, model.threads or 1) if by_row else 1
    tried = min(rows.n_rows, work.shape.batch_rows, max(SURE_ROWS, int(SHARE * n_rows)))
    for size, seconds in clock.growing(sizes, tried):
        profile.learn(size, seconds)
        row_s = seconds / max(size, together)
    profile.write(profile_path(model.version))
    if by_row or not clock.took:
        return Measured(row_s, work.shape.batch_rows)
    batch_rows = fitting_rows(clock.took, work.shape.batch_rows)
    tried = min(batch_rows, max(clock.took))
    return Measured(clock.took[tried] / tried, batch_rows, by_length, clock.cores)


def fitting_rows(took: dict[int, float], most: int) -> int:
    """The fewest rows of a call, at most `most`, from which on more of them make a row hardly cheaper.

    `took`: rows -> seconds. While a call is short, more rows are better, if not
    clearly dearer. Where the largest still gains, more are taken unseen, as long as a call stays short.
    """
    each = {size: (seconds + CALL_S) / size for size, seconds in took.items()}
    enough = min(each.values()) * (1 + GAIN)
    best = min(size for size, row_s in each.items() if row_s <= enough)
    dear = min(each.values()) * DEARER
    best = max([best, *(size for size in each if took[size] < SHORT_S and each[size] < dear)])
    if best < max(took):
        return best
    unseen = 1 << int(math.log2(max(UNTRIED_ROWS, UNTRIED_S * best / took[best])))
    return max(best, min(unseen, BATCH_ROWS, most))


class _Clock:
    """Times calls with the rows of a probe, as long as there is time left."""

    def __init__(self, runner: Runner, rows: Rows) -> None:
        self._runner = runner
        self.rows = rows
        self.left_s = self.clock_s = 0.0
        self.cores = 1.0
        """How many the last call kept busy."""
        self.exhausted = False
        """A call ran out of memory."""
        self.took: dict[int, float] = {}
        """Rows of a call -> what it costs, in seconds, of the sizes that were tried."""

    def call(self, start: int, stop: int) -> float:
        """What a call with these rows costs, in seconds."""
        return self._timed(self.rows, start, stop)

    def taken(self, positions: np.ndarray) -> float:
        """What a call with the rows at these positions costs, in seconds."""
        return self._timed(self.rows.take(positions), 0, len(positions))

    def of_like_length(self, lengths: np.ndarray) -> Rows:
        """From here on, the rows are those around the median of the lengths, the nearest first."""
        away = np.abs(lengths - np.median(lengths))
        self.rows = self.rows.take(np.argsort(away, kind="stable"))
        return self.rows

    def growing(self, sizes: tuple[int, ...], most: int) -> Iterator[tuple[int, float]]:
        """Calls with more and more rows: (rows, seconds on the clock), each size once or, where it is quick, three
        times."""
        for size in [*[size for size in sizes if size < most], min(most, max(sizes))]:
            largest = max(self.took, default=0)
            if largest and self.took[largest] / largest * size > self.left_s:
                return
            found: list[float] = []
            while not found or (len(found) < 3 and found[-1] < AGAIN_S and found[-1] < self.left_s):
                found.append(self.call(0, size))
                self.left_s -= found[-1]
                if self.exhausted:
                    return
                yield size, self.clock_s
            self.took[size] = min(found)

    def _timed(self, rows: Rows, start: int, stop: int) -> float:
        batch = rows.slice(start, stop)
        began, cpu_began = time.perf_counter(), time.process_time()
        result = self._runner.run(batch)
        self.clock_s, cpu_s = time.perf_counter() - began, time.process_time() - cpu_began
        self.cores = cpu_s / max(self.clock_s, 1e-9) if self.clock_s > AGAIN_S else 1.0
        self.exhausted = self.exhausted or bool(result.exhausted_rows)
        return cpu_s if cpu_s > BUSY * self.clock_s else self.clock_s


def pays_by_length(clock: _Clock, work: Work, row_s: float) -> bool:
    """Whether short and long rows are cheaper apart than mixed: then each row of a call costs what the longest does."""
    lengths = lengths_of(clock.rows, work.signature)
    group = GROUP_ROWS if 12 * GROUP_ROWS * row_s < clock.left_s else 2
    if len(lengths) < 8 * group or row_s < LEAST_ROW_S or 6 * group * row_s > 2 * clock.left_s:
        return False
    order = np.argsort(lengths, kind="stable")
    low, high = (int(share * (len(order) - group)) for share in (SHORT, LONG))
    short, long = order[low : low + group], order[high : high + group]
    if lengths[long].min() < LONGER * max(1, lengths[short].max()):
        return False
    half = group // 2
    mixed = [np.concatenate([short[:half], long[:half]]), np.concatenate([short[half:], long[half:]])]
    calls = [*mixed, short, long]
    took = [math.inf] * len(calls)
    for _ in range(LOOKS):
        found = [clock.taken(call) for call in calls]
        clock.left_s -= sum(found)
        took = [min(pair) for pair in zip(took, found, strict=True)]
        apart, together = took[2] + took[3], took[0] + took[1]
        if sum(found) > AGAIN_S and not CLEAR[0] < apart / together < CLEAR[1]:
            break
    return apart < PAYS * together
