"""Will a flight from New York arrive 15 minutes late or more? A scikit-learn pipeline on a pandas DataFrame.

`python train.py flights.csv` makes the file late.skops that this loads.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

import pandas as pd
import skops.io
from msgspec import Meta

import twofold


@dataclass
class Flight:
    carrier: str
    origin: Literal["EWR", "JFK", "LGA"]
    dest: str
    month: Annotated[int, Meta(ge=1, le=12)]
    weekday: Annotated[int, Meta(ge=0, le=6)]  # 0: Monday
    hour: Annotated[int, Meta(ge=0, le=23)]
    distance: float  # miles
    built: int | None = None  # the year of the aeroplane
    seats: int | None = None
    temperature: float | None = None  # °F
    wind: float | None = None  # mph
    rain: float | None = None  # inches in the hour
    visibility: float | None = None  # miles


@dataclass
class Forecast:
    late: bool
    probability: float


EXAMPLE = {"carrier": "UA", "origin": "EWR", "dest": "IAH", "month": 1, "weekday": 1, "hour": 5, "distance": 1400}


@twofold.model(row=Flight, result=Forecast, example=EXAMPLE)
class Late:
    def __init__(self, threshold: float = 0.35) -> None:
        self.threshold = threshold
        self.pipeline = skops.io.load(twofold.artifact("late.skops"), trusted=["numpy.dtype"])

    def predict(self, flights: pd.DataFrame) -> pd.DataFrame:
        probability = self.pipeline.predict_proba(flights)[:, 1]
        return pd.DataFrame({"late": probability >= self.threshold, "probability": probability})
