"""How help reads, that its examples can be called, and that shells take the completion."""

import argparse
import shlex
import shutil
import subprocess

import pytest

from pipeline.commands.arguments import duration, duration_text
from pipeline.commands.main import main, parser
from pipeline.commands.parser import SHELLS, completion


def commands():
    (subparsers,) = (
        action for action in parser()._actions if isinstance(action, argparse._SubParsersAction)
    )
    return subparsers.choices


@pytest.mark.parametrize("name", commands())
def test_help_shows_only_defaults_that_tell_something(name):
    text = " ".join(commands()[name].format_help().split())
    for empty in ("None", "()", "True", "False", "==SUPPRESS==", "", "[]"):
        assert f"(default: {empty})" not in text
    for action in commands()[name]._actions:
        assert action.help
        assert not action.help.startswith(("of ", "that ", "by ", "what "))


def test_defaults_of_a_config_are_shown():
    text = " ".join(commands()["classify"].format_help().split())
    assert "none (default: 1h)" in text
    assert "are chosen (default: accuracy)" in text
    assert "(default: auto)" in commands()["scratch"].format_help()


@pytest.mark.parametrize("name", commands())
def test_each_help_ends_with_an_example_that_can_be_called(name):
    lines = commands()[name].format_help().rstrip().splitlines()
    assert lines[-2] == "example:"
    words = shlex.split(lines[-1])
    assert words[:4] == ["python", "-m", "pipeline", name]
    assert parser().parse_args(words[3:]).run


def test_the_help_of_all_commands_ends_with_an_example():
    assert parser().format_help().endswith("\nexample:\n  python -m pipeline demo\n")


@pytest.mark.parametrize("text", ["90s", "30m", "2h", "1.5s", "none"])
def test_a_duration_is_spelled_as_it_is_read(text):
    assert duration_text(duration(text)) == text


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "required: COMMAND"),
        (["extrac"], "invalid choice: 'extrac'"),
        (["classify", "f.h5"], "required: --out"),
        (["classify", "f.h5", "--out", "r", "--budget", "long"], "'long': expected a time"),
        (["compare", "results", "--metric", "auc"], "invalid choice: 'auc'"),
    ],
)
def test_a_usage_error_is_one_line(arguments, told, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    assert line.startswith("error: ")
    assert told in line
    assert "--help` shows" in line


@pytest.mark.parametrize("shell", SHELLS)
def test_a_completion_script_is_printed(shell, capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--print-completion", shell])
    script = capsys.readouterr().out
    assert script == completion(shell) + "\n"
    assert "offshelf" in script
    assert all(name in script for name in commands())


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash here")
@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (["offshelf", "cla"], {"classify", "classifiers"}),
        (["offshelf", "classify", "--met"], {"--metric"}),
        (["offshelf", "weights", "ver"], {"verify"}),
    ],
)
def test_bash_completes(typed, expected, tmp_path):
    script = tmp_path / "completion.bash"
    script.write_text(completion("bash"))
    words = " ".join(map(shlex.quote, typed))
    code = (
        f"set -e; source {script}; COMP_WORDS=({words}); COMP_CWORD={len(typed) - 1}; "
        "$(complete -p offshelf | sed 's/.*-F \\([^ ]*\\).*/\\1/') offshelf || true; "
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    result = subprocess.run(["bash", "-c", code], capture_output=True, text=True, check=True)
    assert result.stderr == ""
    assert {word.strip() for word in result.stdout.splitlines()} == expected
