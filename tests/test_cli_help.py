"""What ``--help`` shows: what is needed first, on a screen; ``--help-all`` the rest."""

import re

import pytest

from torchbas import recipes
from torchbas.cli import main
from torchbas.cli.help import FIRST
from torchbas.recipes import PART_OF


def said_by(words: list[str], capsys) -> str:
    with pytest.raises(SystemExit) as end:
        main(words)
    assert end.value.code == 0
    return capsys.readouterr().out


def flags_in(text: str) -> set[str]:
    return set(re.findall(r"^[^\w-]*(--[a-z][a-z0-9.-]+)", text, re.MULTILINE))


def test_the_list_of_commands_fits_a_terminal(capsys):
    assert main(["--help"]) == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80


@pytest.mark.parametrize("command", ["label", "train", "segment"])
def test_the_short_help_has_the_flags_that_are_needed_first_and_names_the_long_one(command, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    short, whole = said_by([command, "--help"], capsys), said_by([command, "--help-all"], capsys)
    assert f"bas {command} --help-all" in " ".join(short.split())
    assert flags_in(short) < flags_in(whole)
    assert {"--out", "--recipe"} < flags_in(short)
    assert len(short.splitlines()) < 130 < 200 < len(whole.splitlines())
    assert "L_frg" not in short


def test_defaults_of_the_short_help_are_the_recipes(capsys):
    said = " ".join(said_by(["label", "--recipe", "demo", "-h"], capsys).replace("│", " ").split())
    assert f"(default: {recipes.load('demo').training.steps})" in said


def test_what_the_short_help_shows_is_there():
    assert set(PART_OF) >= FIRST


def test_all_commands_and_their_figures_take_the_long_one(capsys):
    assert main(["--help-all"]) == 0
    assert "bas COMMAND" in capsys.readouterr().out
    for words in (["analyze"], ["analyze", "terms"]):
        assert said_by([*words, "--help"], capsys) == said_by([*words, "--help-all"], capsys)


def test_other_commands_have_one_help(capsys):
    assert said_by(["predict", "--help"], capsys) == said_by(["predict", "--help-all"], capsys)
