"""The model of this example: how risky is a payment? The files beside it deploy any other model in the same way."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

import twofold


@twofold.model(example={"amount": 120.0, "abroad": True, "age_days": 4})
def risk(amount: Annotated[float, Meta(ge=0)], abroad: bool = False, age_days: int = 365) -> float:
    """Between 0 and 1. `age_days`: of the customer's account."""
    if amount > 1e9:
        raise twofold.BadRow("an amount of more than 10^9 is a mistake")
    score = min(amount / 1000, 1.0) * 0.5 + (0.3 if abroad else 0.0) + (0.2 if age_days < 7 else 0.0)
    return round(score, 6)
