"""Disks that are full, read-only or broken: a clear error, nothing half-written, and a start that goes on."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.batch.runs import PARITY, PICKY, numbers, run, write, write_model
from tests.cli.commands import twofold
from twofold._errors import InputError, OutputError


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 1 MiB."""
    path = tmp_path / "disk"
    path.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", path], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("mounting a tmpfs is not permitted here")
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", path], check=True)


def resize(disk: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", disk], check=True)


@pytest.mark.skipif(os.name != "posix", reason="needs mount")
@pytest.mark.parametrize("filled", [900_000, 400_000, 0], ids=["at once", "soon", "late"])
def test_a_full_disk(filled: int, disk: Path, tmp_path: Path):
    model = write_model(tmp_path, PICKY)
    source = write(tmp_path / "in.csv", numbers(40_000))
    (disk / "other").write_bytes(b"x" * filled)
    with pytest.raises(OutputError, match="the disk is full") as full:
        run(model, source, disk / "out.csv", split_rows=8000)
    assert full.value.exit_code == 1
    assert sorted(entry.name for entry in disk.iterdir()) == ["other", "out.csv.twofold"]
    resize(disk, "size=64m")
    report = run(model, source, disk / "out.csv", split_rows=8000)
    assert (0 if filled > 800_000 else 1) <= report.splits_resumed < report.splits == 5
    run(model, source, tmp_path / "whole.csv", split_rows=8000)
    assert (disk / "out.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()


@pytest.mark.skipif(os.name != "posix", reason="needs mount")
def test_a_full_disk_from_the_command_line(disk: Path, tmp_path: Path):
    model = write_model(tmp_path, PARITY)
    source = write(tmp_path / "in.csv", numbers(100_000))
    done = twofold("batch", model, source, disk / "out.csv", "--workers", 2, "--split-rows", 10_000, cwd=tmp_path)
    assert done.returncode == 1
    assert "the disk is full" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (disk / "out.csv").exists()


@pytest.mark.skipif(os.name != "posix", reason="needs mount")
def test_a_folder_that_may_not_be_written(disk: Path, tmp_path: Path):
    resize(disk, "ro")
    source = write(tmp_path / "in.csv", numbers(10))
    with pytest.raises(OutputError, match="cannot be written"):
        run(write_model(tmp_path, PARITY), source, disk / "out.csv")
    with pytest.raises(OutputError, match="its folder is not there"):
        run(write_model(tmp_path, PARITY), source, tmp_path / "nowhere" / "out.csv")


def test_a_truncated_input(tmp_path: Path):
    source = write(tmp_path / "in.parquet", numbers(1000))
    source.write_bytes(source.read_bytes()[:-100])
    with pytest.raises(InputError, match=r"in.parquet' cannot be read"):
        run(write_model(tmp_path, PARITY), source, tmp_path / "out.csv")
    (tmp_path / "empty.parquet").touch()
    with pytest.raises(InputError, match=r"empty.parquet' cannot be read"):
        run(write_model(tmp_path, PARITY), tmp_path / "empty.parquet", tmp_path / "out.csv")
    assert not list(tmp_path.glob("out*"))


def test_every_flush_and_rename_may_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The k-th of them fails, for every k: a clear error, nothing visible, and the next start ends it."""
    model = write_model(tmp_path, PICKY)
    source = write(tmp_path / "in.csv", numbers(20))
    whole = run(model, source, tmp_path / "whole.csv", split_rows=10)
    expected = (tmp_path / "whole.csv").read_bytes()
    k = left = 0

    def failing(step: Any) -> Any:
        def do(*args: Any) -> Any:
            nonlocal left
            left -= 1
            if left == -1:
                number = (errno.ENOSPC, errno.EIO)[k % 2]
                raise OSError(number, os.strerror(number))
            return step(*args)

        return do

    broken = {name: failing(getattr(os, name)) for name in ("fsync", "replace")}
    for k in range(1000):
        left = k
        output = tmp_path / f"out{k}.csv"
        with monkeypatch.context() as patch:
            for name, step in broken.items():
                patch.setattr(os, name, step)
            try:
                run(model, source, output, split_rows=10)
                said = None
            except OutputError as error:
                said = error.message
        if left >= 0:  # there were no more of them
            break
        # What only keeps the model's profile may fail without a word.
        assert said is None or ("the disk is full" in said) == (k % 2 == 0)
        assert said is not None or output.read_bytes() == expected
        assert not output.exists() or output.read_bytes() == expected
        report = run(model, source, output, split_rows=10)
        assert (output.read_bytes(), report.exit_code) == (expected, whole.exit_code)
    assert k > 12
