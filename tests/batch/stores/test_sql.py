"""Tables as outputs: each split once, all rows in one transaction, keys updated; on the real databases."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tests.batch.runs import PARITY, PICKY, numbers, run, write, write_model
from tests.batch.stores.databases import sql, tables
from tests.contract.test_formats import table as every_type
from twofold._batch.report import BatchReport
from twofold._errors import OutputError, OverwriteRefused, RunStopped, UsageError

OURS = {"twofold_runs", "twofold_splits"}


def score(folder: Path, model: Path, database: str, n_rows: int = 100, **options: Any) -> BatchReport:
    source = folder / f"in{n_rows}.csv"
    if not source.exists():
        write(source, numbers(n_rows))
    settings = {"split_rows": 30, "batch_rows": 8, "quarantine": str(folder / "bad.jsonl"), **options}
    return run(model, source, f"{database}table=scores", state=str(folder / "state"), **settings)


def test_rows_appear_in_a_new_table_in_order(database: str, tmp_path: Path):
    model = write_model(tmp_path, PARITY)
    report = score(tmp_path, model, database)
    assert (report.rows_in, report.rows_out, report.exit_code, report.splits) == (100, 100, 0, 4)
    rows = sql(database, "SELECT id, number, prediction FROM scores")
    assert rows == [(f"r{i}", i, "Odd" if i % 2 else "Even") for i in range(100)]
    assert tables(database) == {"scores", *OURS}
    assert not (tmp_path / "bad.jsonl").exists()
    again = score(tmp_path, model, database)
    assert (again.splits_resumed, again.rows_out) == (4, 100)
    assert len(sql(database, "SELECT 1 FROM scores")) == 100
    [folder] = (tmp_path / "state").iterdir()
    assert sorted(entry.name for entry in folder.iterdir()) == ["lock", "log.jsonl", "run.json"]


def test_failing_rows_go_to_the_quarantine_that_was_named(database: str, tmp_path: Path):
    report = score(tmp_path, write_model(tmp_path, PICKY), database)
    assert (report.rows_out, report.rows_quarantined, report.exit_code) == (80, 20, 3)
    assert report.quarantine == str(tmp_path / "bad.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "bad.jsonl").read_text().splitlines()]
    assert [line["number"] for line in lines] == [i for i in range(100) if i % 10 in (3, 7)]
    with pytest.raises(UsageError, match="--quarantine"):
        score(tmp_path, write_model(tmp_path, PICKY), database, quarantine=None)


def test_what_stands_there_is_not_replaced_unless_told(database: str, tmp_path: Path):
    model = write_model(tmp_path, PARITY)
    sql(database, "CREATE TABLE scores (number BIGINT, id TEXT, prediction TEXT, at TEXT DEFAULT 'now')")
    sql(database, "INSERT INTO scores (number) VALUES (1)")
    with pytest.raises(OverwriteRefused, match="--overwrite"):
        score(tmp_path, model, database)
    score(tmp_path, model, database, overwrite=True)
    rows = sql(database, "SELECT number, at FROM scores")
    assert rows == [(i, "now") for i in range(100)]
    with pytest.raises(OverwriteRefused, match="--limit"):
        score(tmp_path, model, database, limit_rows=5)


def test_a_key_updates_its_rows_day_after_day(database: str, tmp_path: Path):
    model = write_model(tmp_path, PARITY)
    sql(database, "CREATE TABLE scores (id TEXT PRIMARY KEY, number BIGINT, prediction TEXT, note TEXT)")
    sql(database, "INSERT INTO scores VALUES ('r3', -1, 'old', 'kept'), ('other', 5, 'old', 'kept')")
    score(tmp_path, model, database, n_rows=10, key=("id",))
    score(tmp_path, model, database, n_rows=12, key=("id",))
    rows = {row[0]: row[1:] for row in sql(database, "SELECT id, number, prediction, note FROM scores")}
    assert len(rows) == 13
    assert rows["r3"] == (3, "Odd", "kept")
    assert rows["other"] == (5, "old", "kept")
    assert rows["r11"] == (11, "Odd", None)


def test_the_last_row_of_a_key_counts(database: str, tmp_path: Path):
    (tmp_path / "in.csv").write_text("id,number\na,1\nb,2\na,4\nb,7\na,3\n")
    model = write_model(tmp_path, PARITY)
    options: dict[str, Any] = {"key": ("id",), "quarantine": str(tmp_path / "q"), "state": str(tmp_path / "s")}
    report = run(model, tmp_path / "in.csv", f"{database}table=scores", split_rows=2, **options)
    assert report.rows_out == 5
    assert sorted(sql(database, "SELECT id, number FROM scores")) == [("a", 3), ("b", 7)]


def test_from_python(tmp_path: Path):
    import twofold

    model = write_model(tmp_path, PARITY)
    write(tmp_path / "in.csv", numbers(5))
    output = f"sqlite:///{tmp_path}/app.db?table=scores"
    aside = str(tmp_path / "bad.jsonl")
    for _ in range(2):
        report = twofold.batch(
            model, tmp_path / "in.csv", output, key="id", quarantine=aside, state=str(tmp_path), overwrite=True
        )
        assert (report.rows_out, report.output) == (5, output)
    assert len(sql(output.removesuffix("table=scores"), "SELECT 1 FROM scores")) == 5


@pytest.mark.parametrize(
    ("table", "options", "words"),
    [
        ("id TEXT, number BIGINT", {}, "no column prediction"),
        ("id TEXT, number BIGINT, prediction TEXT, other INT NOT NULL", {}, "needs a value for other"),
        ("id TEXT, number BIGINT, prediction TEXT", {"key": ("id",)}, "no unique index"),
        ("id TEXT, number BIGINT, prediction TEXT", {"key": ("no",)}, "--key no: the output has no such column"),
    ],
)
def test_a_table_that_cannot_take_the_rows_is_refused_first(
    table: str, options: dict[str, Any], words: str, database: str, tmp_path: Path
):
    sql(database, f"CREATE TABLE scores ({table})")
    with pytest.raises(UsageError, match=words):
        score(tmp_path, write_model(tmp_path, PARITY), database, **options)


def test_a_run_that_was_stopped_goes_on(database: str, tmp_path: Path):
    model = write_model(tmp_path, PICKY)
    with pytest.raises(RunStopped, match="more than --max-bad-rows 15"):
        score(tmp_path, model, database, max_bad_rows=15)
    assert "scores" not in tables(database)
    report = score(tmp_path, model, database)
    assert (report.splits_resumed, report.rows_out, report.rows_quarantined) == (2, 80, 20)
    assert [row[0] for row in sql(database, "SELECT number FROM scores")] == [
        i for i in range(100) if i % 10 not in (3, 7)
    ]


def test_workers_commit_their_own_parts(database: str, tmp_path: Path):
    report = score(
        tmp_path, write_model(tmp_path, PARITY), database, here=False, workers=2, n_rows=1000, split_rows=100
    )
    assert report.rows_out == 1000
    assert [row[0] for row in sql(database, "SELECT number FROM scores")] == list(range(1000))


def test_another_machine_is_kept_away_while_its_lease_runs(database: str, tmp_path: Path):
    model = write_model(tmp_path, PARITY)
    score(tmp_path, model, database)
    now = sql(database, "SELECT " + ("unixepoch()" if database.startswith("sqlite") else "extract(epoch FROM now())"))
    other = json.dumps({"host": "elsewhere", "pid": 7, "place": "elsewhere"})
    hold = "UPDATE twofold_runs SET token = 'x', holder = ?, expires = ?"
    sql(database, hold, other, float(now[0][0]) + 30)
    with pytest.raises(UsageError, match=r"process 7 on elsewhere.* it is free in (30|29|28) s"):
        score(tmp_path, model, database)
    sql(database, hold, other, float(now[0][0]) - 1)
    assert score(tmp_path, model, database).splits_resumed == 4


def test_one_that_was_taken_over_writes_nothing_more(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from twofold._batch.stores.sql import SqlStore

    publish = SqlStore.publish

    def late(store: SqlStore) -> None:
        sql(database, "UPDATE twofold_runs SET token = 'another'")
        publish(store)

    monkeypatch.setattr(SqlStore, "publish", late)
    with pytest.raises(RunStopped, match="another run has taken over"):
        score(tmp_path, write_model(tmp_path, PARITY), database)
    assert "scores" not in tables(database)


def test_every_type_of_column(database: str, tmp_path: Path):
    batch = every_type(40)
    write(tmp_path / "in.parquet", pa.Table.from_batches([batch]))
    model = write_model(tmp_path, "import twofold\n@twofold.model\ndef f(id: int) -> int:\n    return -id\n")
    options: dict[str, Any] = {"quarantine": str(tmp_path / "q"), "state": str(tmp_path / "s")}
    run(model, tmp_path / "in.parquet", f"{database}table=scores", **options)
    columns = ", ".join(f'"{name}"' for name in batch.schema.names)
    rows = sql(database, f"SELECT {columns}, prediction FROM scores")
    assert [row[-1] for row in rows] == [-i for i in range(40)]
    found = dict(zip(batch.schema.names, rows[8], strict=False))
    expected = batch.slice(8, 1).to_pylist()[0]
    for name in ("id", "flag", "amount", "small", "text", "code", "kind"):
        assert found[name] == pytest.approx(expected[name]) if name == "small" else found[name] == expected[name]
    plain = database.startswith("sqlite")
    assert found["when"] == ("2024-01-01T00:00:00.000008Z" if plain else expected["when"])
    assert (json.loads(found["place"]) if plain else found["place"]) == expected["place"]
    assert [row[4] for row in rows] == batch["text"].to_pylist()  # no text is not an empty one


def test_user_and_password_come_out_nowhere(postgres: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    model = write_model(tmp_path, PARITY)
    sql(postgres, "DROP ROLE IF EXISTS misterx")
    sql(postgres, "CREATE ROLE misterx LOGIN SUPERUSER PASSWORD 'hushhush'")
    secret = postgres.replace("postgres:@", "misterx:hushhush@")
    report = score(tmp_path, model, secret, max_bad_rows=0)
    seen = json.dumps(report.to_json()) + "".join(map(str, sql(postgres, "SELECT * FROM twofold_runs")))
    for path in tmp_path.rglob("*"):
        if path.is_file() and path.suffix != ".csv":
            seen += path.read_text()
    with pytest.raises(OutputError) as failed:
        score(tmp_path, model, postgres.replace("postgres:@/postgres", "misterx:hushhush@/nowhere"))
    with pytest.raises(UsageError) as refused:
        score(tmp_path, model, secret.replace("&", "&query=select 1&"))
    seen += failed.value.message + refused.value.message + "".join(capfd.readouterr())
    assert "nowhere" in failed.value.message
    assert "misterx" not in seen
    assert "hushhush" not in seen


def test_every_statement_may_fail(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The k-th of them fails, for every third k: a clear error, nothing visible, and the next start ends it."""
    model = write_model(tmp_path, PICKY)
    session, error = broken(database)
    statement, left = session.run, 0

    def failing(*args: Any) -> Any:
        nonlocal left
        left -= 1
        if left == -1:
            raise error("the connection was lost")
        return statement(*args)

    wanted = [(number,) for number in range(20) if number % 10 not in (3, 7)]
    for k in range(0, 1000, 3 if database.startswith("sqlite") else 11):
        left = k
        said = ""
        with monkeypatch.context() as patch:
            patch.setattr(session, "run", failing)
            try:
                score(tmp_path, model, database, n_rows=20, split_rows=10, overwrite=True)
            except OutputError as failed:
                said = failed.message
        if left >= 0:
            break
        assert not said or "the database says: the connection was lost" in said
        assert "scores" not in tables(database) or sql(database, "SELECT number FROM scores") == wanted
        score(tmp_path, model, database, n_rows=20, split_rows=10)
        assert sql(database, "SELECT number FROM scores") == wanted
        sql(database, "DROP TABLE scores")
    assert k > 30


def broken(database: str) -> tuple[Any, type[Exception]]:
    if database.startswith("sqlite"):
        import sqlite3

        from twofold._batch.databases.sqlite import SqliteSession

        return SqliteSession, sqlite3.OperationalError
    import psycopg

    from twofold._batch.databases.postgres import PostgresSession

    return PostgresSession, psycopg.OperationalError
