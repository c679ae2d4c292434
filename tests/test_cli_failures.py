"""How errors end that nobody has foreseen: a sentence, an exit code, and where the traceback is."""

import errno
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from torchbas.cli import main
from torchbas.cli.check import Check
from torchbas.cli.failures import PACKAGE, described, quiet_threads

FAILING = (
    "import sys; from torchbas.cli import main; from torchbas.cli.check import Check; Check.run = lambda _: 1 / 0; "
)
FAILING += "sys.exit(main())"


def failing(*flags: str, temporary: Path) -> tuple[int, str]:
    """Exit code and stderr of a command with an error of ours."""
    command = [sys.executable, "-c", FAILING, "check", "photos", *flags]
    environment = os.environ | {"TMPDIR": str(temporary)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    return done.returncode, done.stderr


def test_our_error_is_one_sentence_and_a_file_with_the_traceback(tmp_path):
    code, said = failing(temporary=tmp_path)
    (file,) = tmp_path.iterdir()
    assert code == 1
    assert said == (
        "bas: This is an error of torchbas, not yours (ZeroDivisionError: division by zero). "
        f"Please report it with {file}.\n"
    )
    assert re.fullmatch(
        r"bas check photos\n\nTraceback .*ZeroDivisionError: division by zero\n", file.read_text(), re.S
    )


def test_with_debug_the_traceback_is_shown(tmp_path):
    code, said = failing("--debug", temporary=tmp_path)
    assert code == 1
    assert said.startswith("Traceback")
    assert list(tmp_path.iterdir()) == []


def test_python_that_calls_a_command_gets_our_error(monkeypatch):
    monkeypatch.setattr(Check, "run", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        main(["check", "photos"])


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "The system refuses (No space left on device)."),
        (PermissionError(errno.EACCES, "Permission denied", "/a/b"), "/a/b cannot be used (Permission denied)."),
        (OSError(errno.ENAMETOOLONG, "File name too long", "n" * 5000), "nnn ... nnn"),
        (FileNotFoundError(errno.ENOENT, "No such file", b"/\xff"), "/\udcff cannot be used (No such file)."),
        (MemoryError(), "There is not enough memory here."),
    ],
)
def test_what_the_machine_refuses_is_the_users_to_mend(error, sentence):
    said, code = described(error)
    assert code == 2
    assert sentence in said
    assert len(said) < 400


@pytest.mark.parametrize(
    "error",
    [OSError("cannot identify image file"), FileNotFoundError(errno.ENOENT, "No such file", f"{PACKAGE}/x.json")],
)
def test_a_file_of_ours_that_is_missing_is_our_error(error, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert described(error)[1] == 1


def test_a_path_with_nul_is_named(capsys):
    assert main(["check", "pho\0tos"]) == 2
    assert "NUL" in capsys.readouterr().err


@pytest.mark.parametrize("path", [b"n" * 5000, b"\xff\xfe"])
def test_no_path_ends_in_a_traceback(path):
    command = [sys.executable, "-c", "import sys; from torchbas.cli import main; sys.exit(main())", "check", path]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 2
    assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize(("error", "told"), [(OSError(errno.ENOSPC, "No space left"), 0), (ValueError("ours"), 1)])
def test_a_thread_to_which_the_machine_refuses_something_prints_no_traceback(error, told, monkeypatch):
    seen = []
    monkeypatch.setattr(threading, "excepthook", seen.append)

    def fail() -> None:
        raise error

    with quiet_threads():
        thread = threading.Thread(target=fail)
        thread.start()
        thread.join()
    assert len(seen) == told
