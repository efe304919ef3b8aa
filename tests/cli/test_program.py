"""The program as a whole: overview, errors, exit codes, what goes to which stream."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import seatrial
from peers.program import PROGRAM, Call, on_a_terminal
from seatrial.cli import TABLE, cli
from seatrial.commands.failure import clean, given
from seatrial.commands.screen import Screen


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Yield every command that does something, with the words that call it."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


EVERY = dict(commands(cli))


def test_the_overview_names_every_command(program: Call) -> None:
    said = program("--help")
    assert (said.code, said.err) == (0, "")
    for name, entry in TABLE.items():
        assert f"\n  {name} " in said.out
        assert entry.summary in " ".join(said.out.split())


def test_the_version(program: Call) -> None:
    assert program("--version").out.strip() == f"seatrial, version {seatrial.__version__}"


@pytest.mark.parametrize("words", EVERY, ids=" ".join)
def test_every_command_has_json_and_help(words: tuple[str, ...], call: Call) -> None:
    said = call(*words, "--help")
    assert said.code == 0
    assert "--json" in said.out
    assert EVERY[words].help, "a command without a description"


@pytest.mark.parametrize("words", [("targets",), ("devices",), ("bundle",), ("runtimes",), ("history",)], ids=str)
def test_a_group_alone_shows_its_help_and_is_wrong_usage(words: tuple[str, ...], call: Call) -> None:
    said = call(*words)
    assert said.code == 2
    assert "Commands:" in said.err + said.out


def test_an_unknown_command_suggests_the_nearest(call: Call) -> None:
    said = call("gaet")
    assert said.code == 2
    assert said.err.startswith("error: unknown command 'gaet'; did you mean 'gate'?")
    assert said.out == ""


@pytest.mark.parametrize(
    ("words", "words_of_error"),
    [
        (["bench"], "Missing argument"),
        (["bench", "x"], "--device"),
        (["bench", "x", "--device", "local", "--runs", "0"], "--runs"),
        (["bench", "x", "--device", "local", "--rnus", "3"], "--rnus"),
        (["bench", "x", "--device", "local", "--iterations", "1000001"], "--iterations"),
        (["bench", "x", "--device", "local", "--threads", "1025"], "--threads"),
        (["bench", "x", "--device", "local", "--run-seconds", "nan"], "--run-seconds"),
        (["bench", "x", "--device", "local", "--run-seconds", "inf"], "--run-seconds"),
        (["bench", "x", "y", "--device", "local", "--resume"], "name the one bundle"),
        (["history", "list", "--history", "postgresql://me:s3cret@host:x/db"], "not a database URL"),
        (["gate", "x", "--device", "local", "--looks", "8;16"], "8,16,32,64"),
        (["targets", "show", "rasberry-pi-5-int8"], "did you mean 'raspberry-pi-5-int8'"),
        (["devices", "check", "locl"], "did you mean 'local'"),
    ],
)
def test_wrong_usage_is_exit_2_in_words_and_in_json(words: list[str], words_of_error: str, call: Call) -> None:
    said = call(*words)
    assert said.code == 2
    assert said.out == ""
    assert said.err.startswith("error: ")
    assert words_of_error in said.err
    assert "Traceback" not in said.err
    as_json = call(*words, "--json")
    assert as_json.code == 2
    error = as_json.document["error"]
    assert error["exit_code"] == 2
    assert error["status"] == "user_error"
    assert words_of_error in error["message"]
    assert "s3cret" not in said.err + as_json.out
    assert as_json.err.startswith("error: ")


def test_a_defect_says_how_to_report_it_and_shows_where_only_on_demand(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("seatrial_targets.registry.listed", lambda: 1 / 0)
    said = call("targets", "list")
    assert said.code == 3
    assert "ZeroDivisionError: division by zero" in said.err
    assert "please report it" in said.err
    assert "Traceback" not in said.err
    assert "Traceback" in call("targets", "list", "--debug").err
    assert call("targets", "list", "--json").document["error"]["kind"] == "ZeroDivisionError"


def test_what_a_device_says_can_not_steer_the_terminal() -> None:
    assert clean("a\x1b[31mb\x07\r\x9bc\u202ed\ne") == "a\ufffd[31mb\ufffd\ufffd\ufffdc\ufffdd\ne"


def test_names_in_the_head_of_a_table_can_not_steer_the_terminal() -> None:
    stream = io.StringIO()
    Screen(stream=stream).table(["", "\x1b]0;owned\x07net"], [["size", "1 MB"]], title="On \x1b[2Jpi")
    assert "\x1b" not in stream.getvalue()
    assert "net" in stream.getvalue()


def test_markup_in_what_users_write_is_shown_as_it_is(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("devices.yaml").write_text(
        "devices:\n  pi:\n    target: arm64-cpu-fp32\n    transport: ssh\n    address: 192.0.2.7\n"
        "    tags: ['[bold red]x[/]', '[/nothing]', ':smile:']\n"
    )
    said = call("devices", "list")
    assert said.code == 0
    assert "[bold red]x[/], [/nothing], :smile:" in said.out


def test_options_after_two_dashes_are_words() -> None:
    assert given("--json", ["targets", "list", "--json"])
    assert not given("--json", ["targets", "show", "--", "--json"])


def test_a_reader_that_goes_away_is_no_error() -> None:
    line = f"'{PROGRAM}' targets list --json | head -c 1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert done.stdout.splitlines() in (["[141"], ["[0"])  # 0 when all of it fitted into the pipe


def test_nothing_but_text_when_it_is_no_terminal(program: Call) -> None:
    for words in (["targets", "list"], ["doctor"], ["gaet"]):
        said = program(*words, FORCE_COLOR="", TERM="xterm-256color")
        assert "\x1b" not in said.out + said.err
        assert all(line == line.rstrip() for line in said.out.splitlines())


def test_colours_on_a_terminal_unless_the_user_wants_none() -> None:
    assert b"\x1b[1;31merror:" in on_a_terminal("gaet")[1]
    assert b"\x1b[" not in on_a_terminal("gaet", NO_COLOR="1")[1]
    assert b"\x1b[" not in on_a_terminal("gaet", TERM="dumb")[1]


def test_json_is_plain_ascii(program: Call) -> None:
    said = program("targets", "list", "--json", LC_ALL="C", PYTHONIOENCODING="ascii")
    assert said.code == 0
    assert said.out.isascii()
    json.loads(said.out)


def test_the_program_as_a_module() -> None:
    done = subprocess.run([sys.executable, "-m", "seatrial", "gaet"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "did you mean 'gate'" in done.stderr


def test_where_an_error_came_from_is_shown_on_demand(call: Call) -> None:
    assert "Traceback" in call("targets", "show", "nothing-like-it", "--debug").err


def test_names_that_the_terminal_can_not_show_do_not_end_the_program(program: Call) -> None:
    Path("targets").mkdir()
    Path("targets/mine.yaml").write_text("extends: x86-64-cpu-fp32\nsummary: Größe 大\n", encoding="utf-8")
    said = program("targets", "list", PYTHONIOENCODING="ascii")
    assert said.code == 0, said.err
    assert "Gr??e ?" in said.out


BASE_INSTALL = """
import sys
for name in ("torch", "onnx", "onnxscript", "onnxruntime", "jinja2", "sympy", "skimage"):
    sys.modules[name] = None  # importing it fails, as where it is not installed
from seatrial.cli import main
main()
"""


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["doctor"], 0),
        (["targets", "list"], 0),
        (["devices", "list"], 0),
        (["runtimes", "list"], 0),
        (["history", "list"], 0),
        (["export", "m:f", "--target", "x86-64-cpu-fp32"], 2),
        (["gate", "x", "--device", "local", "--html", "v.html"], 2),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else str(value),
)
def test_the_base_install_works_and_says_what_is_missing(words: list[str], code: int) -> None:
    argv = [sys.executable, "-c", BASE_INSTALL, *words]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert "defect" not in done.stderr
    if code:
        extra = "report" if "--html" in words else "export"
        assert f"pip install 'seatrial[{extra}]'" in done.stderr
