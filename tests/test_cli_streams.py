"""Output that nobody reads, or that has no room, and terminals of any width."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

BAS = [sys.executable, "-c", "import sys; from torchbas.cli import main; sys.exit(main())"]
WORDS = [["--help"], ["--version"], ["recipes"], ["recipes", "quick", "--json"], ["check", "--help"]]


def end_of(words: list[str], redirection: str, **environment: str) -> tuple[int, str]:
    """Exit code and stderr of a command in a shell."""
    command = ["sh", "-c", f'exec "$@" {redirection}', "sh", *BAS, *words]
    done = subprocess.run(
        command, stderr=subprocess.PIPE, env=os.environ | environment, text=True, timeout=120, check=False
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize("words", WORDS)
def test_a_reader_who_has_gone_changes_nothing(words):
    gone, pipe = os.pipe()
    os.close(gone)
    with os.fdopen(pipe, "w") as stdout:
        done = subprocess.run([*BAS, *words], stdout=stdout, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("redirection", [">&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_closed_streams_change_nothing(redirection):
    assert end_of(["recipes"], redirection) == (0, "")


def test_a_reader_of_progress_who_has_gone_does_not_stop_the_work(tmp_path):
    gone, pipe = os.pipe()
    os.close(gone)
    words = ["check", str(tmp_path / "absent")]
    with os.fdopen(pipe, "w") as stderr:
        done = subprocess.run([*BAS, *words], stdout=subprocess.PIPE, stderr=stderr, text=True, check=False)
    assert done.returncode == 2


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no full device")
def test_output_without_room_is_said_to_be_lost():
    code, said = end_of(["recipes"], "> /dev/full")
    assert code == 2
    assert said.startswith("bas: The work is done, but its output could not be printed (No space left on device)")


@pytest.mark.parametrize("columns", ["1", "0", "-3", "39", "100000000", "wide"])
def test_help_fits_any_width(columns):
    assert end_of(["check", "--help"], "> /dev/null", COLUMNS=columns) == (0, "")


def test_letters_that_a_terminal_lacks_are_escaped():
    code, said = end_of(["recipes", "zèbre"], "", PYTHONIOENCODING="ascii")
    assert code == 2
    assert "z\\xe8bre" in said
