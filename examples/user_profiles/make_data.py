"""A shop's database, grown here: users, and what they did. Called again, it lets a day pass.

python make_data.py [DATABASE [USERS]]
"""

from __future__ import annotations

import random
import sqlite3
import sys
from contextlib import closing

TABLE = """CREATE TABLE IF NOT EXISTS users (
    user_id INTEGER PRIMARY KEY, country TEXT, visits_30d INTEGER, spend_30d REAL, days_since_visit INTEGER
)"""


def main(path: str = "app.db", users: str = "5000") -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(TABLE)
        known = connection.execute("SELECT count(*) FROM users").fetchone()[0]
        if not known:
            rng = random.Random(7)
            rows = [row(rng, user_id) for user_id in range(int(users))]
            connection.executemany("INSERT INTO users VALUES (?, ?, ?, ?, ?)", rows)
            print(f"{len(rows):,} users -> {path}")
            return
        rng = random.Random(known)
        seen = rng.sample(range(known), known // 10)
        connection.execute("UPDATE users SET days_since_visit = days_since_visit + 1")
        connection.executemany(
            "UPDATE users SET days_since_visit = 0, visits_30d = visits_30d + 1, "
            "spend_30d = coalesce(spend_30d, 0) + ? WHERE user_id = ?",
            [(round(rng.expovariate(0.05), 2), user_id) for user_id in seen],
        )
        new = [row(rng, known + at) for at in range(known // 100)]
        connection.executemany("INSERT INTO users VALUES (?, ?, ?, ?, ?)", new)
        print(f"a day later: {len(seen):,} users came back, {len(new):,} are new")


def row(rng: random.Random, user_id: int) -> tuple[int, str, int, float | None, int]:
    visits = min(int(rng.expovariate(0.15)), 60)
    spend = None if rng.random() < 0.1 else round(visits * rng.expovariate(0.2), 2)
    return user_id, rng.choice(["DE", "FR", "PL", "SE"]), visits, spend, int(rng.expovariate(0.1))


if __name__ == "__main__":
    main(*sys.argv[1:])
