"""Fits the price to all sales so far: `python train.py sales.csv new.json`."""

import csv
import json
import sys
from pathlib import Path

import numpy as np


def train(sales: str, weights: str) -> None:
    with open(sales, newline="") as file:  # noqa: PTH123
        rows = list(csv.DictReader(file))
    features = np.array([[1.0, float(row["years"]), float(row["gears"])] for row in rows])
    prices = np.array([float(row["sold_for"]) for row in rows])
    fitted, *_ = np.linalg.lstsq(features, prices, rcond=None)
    Path(weights).write_text(json.dumps([round(float(weight), 4) for weight in fitted]) + "\n")
    print(f"{weights}: {', '.join(f'{weight:.1f}' for weight in fitted)}")


if __name__ == "__main__":
    train(sys.argv[1], sys.argv[2])
