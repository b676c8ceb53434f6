"""How likely an order is to be sent back: dear ones are, and those of new customers."""

import math

import twofold


@twofold.model
def returned(amount: float, orders_before: int) -> float:
    return 1 / (1 + math.exp(3 - amount / 100 + orders_before / 10))
