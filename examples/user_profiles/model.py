"""How likely a user is to leave, and which kind of user that is: what a shop keeps in each profile."""

import math
from dataclasses import dataclass

import twofold


@dataclass
class Profile:
    churn: float
    kind: str


@twofold.model(example={"visits_30d": 3, "days_since_visit": 20, "spend_30d": 12.5})
def profile(visits_30d: int, days_since_visit: int, spend_30d: float | None = None) -> Profile:
    """The weights of a logistic regression; a user who bought nothing has no `spend_30d`."""
    if days_since_visit < 0:
        raise twofold.BadRow("a visit in the future")
    spend = 0.0 if spend_30d is None else spend_30d
    x = 0.4 - 0.12 * visits_30d + 0.09 * days_since_visit - 0.01 * spend
    churn = 1 / (1 + math.exp(-x))
    return Profile(churn, "leaving" if churn > 0.7 else "loyal" if churn < 0.3 else "wavering")
