"""The stated generator of the example: card payments as 30 numbers each, and which of them were fraud.

No large set of real payments is free to pass on, so this one is made. Each feature is drawn on its own: ten are normal
(`f0` to `f9`), ten lie between 0 and 1 (`f10` to `f19`), ten have long tails (`f20` to `f29`). The log-odds of fraud
are `log_odds` below: effects of single features, thresholds and pairs; fourteen features do nothing. Somewhat less than
2 payments in 100 are fraud. The same seed gives the same payments, the first n the same however many are asked for.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

N_FEATURES = 30
NAMES = [f"f{n}" for n in range(N_FEATURES)]
CHUNK_ROWS = 131_072  # rows made at a time: 16 MB

Floats = npt.NDArray[np.float32]


def chunks(n_rows: int, seed: int = 1) -> Iterator[tuple[int, Floats, np.random.Generator]]:
    """(first row, features (rows, 30) float32, the generator for whatever else these rows need), chunk by chunk."""
    for number, first in enumerate(range(0, n_rows, CHUNK_ROWS)):
        random = np.random.default_rng([seed, number])
        features = np.empty((CHUNK_ROWS, N_FEATURES), np.float32)
        features[:, :10] = random.standard_normal((CHUNK_ROWS, 10), np.float32)
        features[:, 10:20] = random.random((CHUNK_ROWS, 10), np.float32)
        features[:, 20:] = random.standard_exponential((CHUNK_ROWS, 10), np.float32)
        yield first, features[: n_rows - first], random


def log_odds(f: Floats) -> Floats:
    """The log-odds of fraud for features (rows, 30)."""
    found = -6.2 + 0.9 * f[:, 0] - 0.7 * f[:, 1] + 0.6 * f[:, 2] * f[:, 3]
    found += 1.5 * (f[:, 10] > 0.9) + 1.2 * (f[:, 11] < 0.05) - 0.8 * f[:, 12] + 2.0 * f[:, 13] * (f[:, 4] > 1)
    found += 0.5 * f[:, 20] + 1.1 * (f[:, 21] > 2.5) - 0.4 * np.minimum(f[:, 22], 3) + 0.3 * f[:, 23] * f[:, 14]
    found += 0.8 * np.sin(2 * np.pi * f[:, 15]) + 0.5 * np.abs(f[:, 5])
    return np.asarray(found, np.float32)


def frauds(features: Floats, random: np.random.Generator) -> npt.NDArray[np.bool_]:
    """Which of these payments were fraud: drawn with the odds of each."""
    return np.asarray(random.random(len(features)) < 1 / (1 + np.exp(-log_odds(features))))
