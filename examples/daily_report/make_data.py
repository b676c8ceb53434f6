"""Orders of a shop, made, a file a day: `python make_data.py events 2026-03-25 5` writes those of five days."""

import csv
import random
import sys
from datetime import date, timedelta
from pathlib import Path

COUNTRIES = {"DE": 60.0, "FR": 45.0, "PL": 30.0, "US": 90.0}


def make(folder: Path, first: date, n_days: int) -> None:
    folder.mkdir(exist_ok=True)
    for ahead in range(n_days):
        day = first + timedelta(days=ahead)
        draw = random.Random(day.isoformat())
        with (folder / f"{day}.csv").open("w", newline="") as file:
            out = csv.writer(file)
            out.writerow(["order", "country", "amount", "orders_before"])
            for number in range(2000):
                country = draw.choice(list(COUNTRIES))
                out.writerow([number, country, round(draw.expovariate(1 / COUNTRIES[country]), 2), draw.randint(0, 20)])


if __name__ == "__main__":
    make(Path(sys.argv[1]), date.fromisoformat(sys.argv[2]), int(sys.argv[3]))
