"""The even/odd model of the benchmarks."""

import twofold


@twofold.model
def parity(number: int) -> str:
    return "Even" if number % 2 == 0 else "Odd"
