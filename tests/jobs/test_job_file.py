"""A job file that is right, and what is said about one that is not: line and field."""

from __future__ import annotations

from pathlib import Path

import pytest

from twofold._errors import UsageError
from twofold._jobs.job import Job
from twofold._jobs.job_file import read_jobs
from twofold._jobs.placeholders import Occasion
from twofold._jobs.times import Cron, Every

RIGHT = """
state = "here.db"
max_runs = 3

[[job]]
name = "nightly"
model = "fraud.onnx"
input = "events/{time-1d:%Y-%m-%d}.parquet"
output = "scores/{time-1d:%Y-%m-%d}.parquet"
schedule = "30 2 * * *"
timezone = "Europe/Berlin"
limit = 100
keep = ["id"]
row_timeout = 5
window = [{ hours = "22:00-06:00", workers = 2 }, "12:00-13:00 sat,sun"]
finish_by = "07:00"
retries = 2
backoff = "30s"
  [job.map]
  features = "f0..f29"

[[job]]
name = "report"
run = "python report.py --day {time:%Y-%m-%d}"
after = "nightly"
"""


def read(tmp_path: Path, text: str, name: str = "jobs.toml"):
    path = tmp_path / name
    path.write_text(text)
    return read_jobs(path)


def test_a_file_that_is_right(tmp_path: Path) -> None:
    found = read(tmp_path, RIGHT)
    assert (found.state, found.max_runs, list(found.jobs)) == (tmp_path / "here.db", 3, ["nightly", "report"])
    nightly, report = found.jobs.values()
    assert isinstance(nightly.schedule, Cron)
    assert (nightly.options.limit_rows, nightly.options.keep, nightly.options.row_timeout_s) == (100, ("id",), 5)
    assert nightly.options.map == {"features": "f0..f29"}
    assert [window.workers for window in nightly.windows] == [2, None]
    assert (nightly.finish_by, nightly.retries, nightly.backoff_s) == (420, 2, 30)
    task = nightly.task(Occasion(1_767_227_400, nightly.zone))
    assert task["output"] == "scores/2025-12-31.parquet"
    assert report.task(Occasion(0, report.zone)) == {"command": ["python", "report.py", "--day", "1970-01-01"]}
    assert report.after == ("nightly",)


def test_the_same_in_python(tmp_path: Path) -> None:
    text = """
from twofold import Job

state = "here.db"
hourly = Job(name="hourly", model="parity.py", input="n.csv", output="{time}.csv", every="1h", keep=["id"])
more = [Job(name=f"job-{n}", run=["echo", "{time}"], after="hourly") for n in range(2)]
"""
    found = read(tmp_path, text, "jobs.py")
    assert list(found.jobs) == ["hourly", "job-0", "job-1"]
    assert found.jobs["hourly"].schedule == Every(3600)
    assert found.state == tmp_path / "here.db"
    with pytest.raises(UsageError, match=r"twofold\.Job 'x': every: '1' is no span of time"):
        Job(name="x", run="true", every="1")
    with pytest.raises(UsageError, match=r"cannot be run: ZeroDivisionError: division by zero"):
        read(tmp_path, "1 / 0", "jobs.py")


BATCH = '[[job]]\nname = "a"\nmodel = "m.py"\ninput = "i.csv"\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[job]\n", "is not TOML: .*line 1"),
        ("", "there is no job in it"),
        ("stat = 'x'\n" + BATCH, r"line 1: stat: Did you mean 'state'\?"),
        ("max_runs = 0\n" + BATCH + 'output = "o.csv"', "line 1: max_runs: "),
        ('job = "x"', "line 1: job: each job is a table"),
        ('[[job]]\nmodel = "m.py"', "line 1: name: None is no name"),
        (BATCH, "line 1, job 'a': output: it is missing"),
        (BATCH + 'output = "o.csv"\nshedule = "x"', r"line 6, job 'a': shedule: .*Did you mean 'schedule'"),
        (BATCH + 'output = "o.csv"\nschedule = "x"', "line 6, job 'a': schedule: 'x' is no cron line"),
        (BATCH + 'output = "o.csv"\nevery = "1h"', r"line 5, job 'a': output: every firing .* overwrite = true"),
        (BATCH + 'output = "{file.stem}"', "line 5, job 'a': output: .*does not watch for files"),
        (BATCH + 'output = "{tme}"', r"line 5, job 'a': output: \{tme\}"),
        (BATCH + 'output = "o.csv"\ntimezone = "Berlin"', "line 6, job 'a': timezone: there is no time zone 'Berlin'"),
        (BATCH + 'output = "o.csv"\nevery = "1h"\nafter = "b"', "line 7, job 'a': after: there is 'every' already"),
        (BATCH + 'output = "o.csv"\nafter = "b"\noverwrite = true', "line 6, job 'a': after: there is no job 'b'"),
        (BATCH + 'output = "o.csv"\nafter = "a"\noverwrite = true', "line 6, job 'a': after: .*wait for itself"),
        (BATCH + 'output = "o.csv"\nworkers = -1', "line 6, job 'a': workers: it is a whole number"),
        (BATCH + 'output = "o.csv"\nexecutor = "x"', "line 6, job 'a': executor: executor is 'local' or 'ray'"),
        (BATCH + 'output = "o.csv"\nmissed = "x"', "line 6, job 'a': missed: it is one of once, skip, all"),
        (BATCH + 'output = "o.csv"\nfinish_by = "6"', "line 6, job 'a': finish_by: '6' is no time of day"),
        (BATCH + 'output = "o.csv"\n\n# b\n' + BATCH + 'output = "p.csv"', "line 9, job 'a': name: there are two"),
        ('[[job]]\nname = "a"\nrun = "x"\nlimit = 5', "line 4, job 'a': limit: it belongs to a batch run"),
        ('[[job]]\nname = "a"\nrun = "x \'"', "line 3, job 'a': run: .*cannot be cut into words"),
        ('[[job]]\nname = "a"\nrun = "x"\nwatch = "s3://b/in/"', "line 4, job 'a': watch: .*no folder of this machine"),
        ('[[job]]\nname = "a"\nrun = ""', "line 3, job 'a': run: it is empty"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        read(tmp_path, text)


def test_lines_of_texts_over_several_lines(tmp_path: Path) -> None:
    text = '[[job]]\nname = "a"\nrun = ["sh", "-c", """\nname = 1\n[[job]]\n"""]\nevry = "1h"\n'
    with pytest.raises(UsageError, match="line 7, job 'a': evry"):
        read(tmp_path, text)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read: no such file or directory"):
        read_jobs(tmp_path / "jobs.toml")
