"""Sales of used bicycles, made: `python make_data.py sales.csv DAYS`. The market moves a little from day to day.

A state sets the price: 900 new, 55 less for each year, 30 more for each gear more than one; and noise of 20.
"""

import csv
import random
import sys


def make(path: str, n_days: int) -> None:
    random.seed(7)
    with open(path, "w", newline="") as file:  # noqa: PTH123
        out = csv.writer(file)
        out.writerow(["day", "years", "gears", "sold_for"])
        for day in range(n_days):
            for _ in range(50):
                years, gears = random.randint(0, 12), random.choice([1, 3, 7, 21])
                price = 900 + day - 55 * years + 30 * (gears - 1) + random.gauss(0, 20)
                out.writerow([day, years, gears, round(price, 2)])


if __name__ == "__main__":
    make(sys.argv[1], int(sys.argv[2]))
