"""What a used bicycle will sell for, by the weights in a file: those in service, or new ones to be verified."""

import json

import twofold


@twofold.model
class Price:
    def __init__(self, weights: str = "weights.json") -> None:
        self.base, self.year, self.gear = json.loads(twofold.artifact(weights).read_text())

    def predict(self, years: int, gears: int) -> float:
        return float(self.base + self.year * years + self.gear * gears)
