"""The command line as a whole: help, names, errors, exit codes."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

import twofold as package
from tests.cli.commands import PARITY, twofold
from twofold._cli.app import COMMANDS, run
from twofold._cli.app import twofold as group
from twofold._cli.units import SIZE


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in list(os.environ):
        if name.startswith("TWOFOLD"):
            monkeypatch.delenv(name)


def commands() -> dict[str, click.Command]:
    context = click.Context(group)
    found = {name: group.get_command(context, name) for name in COMMANDS}
    assert all(found.values())
    return found  # type: ignore[return-value]


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"twofold {package.__version__}\n"


def test_help_lists_the_commands_with_examples(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    text = capsys.readouterr().out
    for name, line in COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(line)}$", text, re.MULTILINE)


def test_no_command_is_a_usage_error_that_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == 2
    assert "Commands:" in capsys.readouterr().err


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_teaches(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([name, "--help"]) == 0
    text = capsys.readouterr().out
    assert f"Usage: twofold {name} [OPTIONS] " in text
    assert f"Examples:\n  twofold {name} " in text
    assert "--traceback" in text


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_an_environment_variable_that_help_shows(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    run([name, "--help"])
    text = capsys.readouterr().out
    for option in commands()[name].params:
        if isinstance(option, click.Option):
            flag = option.opts[0].removeprefix("--")
            assert option.help, flag
            assert option.envvar == f"TWOFOLD_{name}_{flag.replace('-', '_')}".upper()
            assert option.envvar in text


def test_an_environment_variable_sets_an_option(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TWOFOLD_BATCH_WORKERS", "none")
    assert run(["batch", "a.py", "b.csv", "c.csv"]) == 2
    assert "TWOFOLD_BATCH_WORKERS" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("bach a b c", "There is no command 'bach'. Did you mean 'batch'? (`twofold --help` explains)"),
        ("sevre a", "Did you mean 'serve'?"),
        ("zzz", f"The commands are {', '.join(COMMANDS)}."),
        ("batch a b c --quarantin", "No such option '--quarantin'. Did you mean '--quarantine'?"),
        ("--versio", "Did you mean '--version'?"),
        ("batch a b", "Missing argument 'OUTPUT'. (`twofold batch --help` explains)"),
        ("compare a b --limit 0", "0 is not in the range x>=1"),
        ("serve a --port 99999", "99999 is not in the range"),
        ("serve a --workers two", "'two' is not a valid whole number"),
        ("serve a --deadline 0", "0.0 is not in the range"),
        ("describe a.py b.py", "unexpected extra argument"),
        ("describe a.py --nulls drop", "'drop' is not one of 'refuse', 'nan'"),
        ("describe a.py --set threshold", "--set takes NAME=VALUE, and got 'threshold'."),
        ("serve a.py --inline --isolate", "exclude each other"),
        ("serve a.py --max-body big", "'big' is no size. It looks like 1000000, 500kB, 32MiB or 1GB."),
        (
            "serve a.py --max-body 0",
            "--max-body' (env var: 'TWOFOLD_SERVE_MAX_BODY'): '0': it must be at least a",
        ),
    ],
)
def test_usage_errors_are_one_line_and_exit_2(words: str, expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(words.split()) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("twofold: ")
    assert expected in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "size"),
    [("1000", 1000), ("500kB", 500_000), ("64 MiB", 64 << 20), ("1GB", 10**9), ("2g", 2 * 10**9), ("1.5KiB", 1536)],
)
def test_sizes(text: str, size: int) -> None:
    assert SIZE.convert(text, None, None) == size


@pytest.mark.parametrize("command", ["describe", "serve", "batch", "compare", "predict"])
def test_an_unknown_path_is_a_broken_model_everywhere(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    more = {"batch": ["in.csv", "out.csv"], "compare": ["in.csv"], "predict": ["{}"]}.get(command, [])
    assert run([command, "nothere.py", *more]) == 1
    err = capsys.readouterr().err
    assert err.startswith("twofold: There is no model 'nothere.py'")
    assert "Traceback" not in err


@pytest.mark.parametrize("words", [["--traceback", "describe"], ["describe", "--traceback"]])
def test_traceback_on_request(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run([*words, "nothere.py"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("Traceback (most recent call last):")
    assert err.splitlines()[-1].startswith("twofold: There is no model")


def test_traceback_by_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("TWOFOLD_TRACEBACK", "TWOFOLD_DESCRIBE_TRACEBACK"):
        monkeypatch.setenv(name, "1")
        assert run(["describe", "nothere.py"]) == 1
        assert "Traceback" in capsys.readouterr().err
        monkeypatch.delenv(name)


def test_what_nobody_expected_points_to_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise KeyError("oh")

    monkeypatch.setattr(group, "invoke", broken)
    assert run(["describe", "x.py"]) == 1
    assert capsys.readouterr().err == ("twofold: unexpected KeyError: 'oh'. Run again with --traceback to see where.\n")


def test_ctrl_c_is_130(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(group, "invoke", interrupted)
    assert run(["describe", "x.py"]) == 130
    assert "Traceback" not in capsys.readouterr().err


def test_a_reader_that_went_away_is_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "parity.py").write_text(PARITY)
    command = [sys.executable, "-m", "twofold", "describe", "parity.py", "--json"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.wait(60) in (0, 1)
        assert process.stderr.read() == b""


def test_the_script_and_the_module_are_the_same(tmp_path: Path) -> None:
    script = Path(sys.executable).with_name("twofold")
    by_script = subprocess.run([script, "--version"], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert by_script.stdout == twofold("--version", cwd=tmp_path).stdout


def test_help_imports_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys; from twofold._cli.app import run\n"
        "for name in ('', 'describe', 'predict', 'serve', 'batch', 'compare'): run([*name.split(), '--help'])\n"
        "heavy = {'numpy', 'pyarrow', 'asyncio', 'rich', 'pandas', 'starlette', 'onnxruntime'} & set(sys.modules)\n"
        "sys.exit(', '.join(sorted(heavy)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
