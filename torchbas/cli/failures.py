"""Errors that no part of the program has foreseen, as one sentence and an exit code; the only place that sees them."""

import os
import shlex
import sys
import tempfile
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PACKAGE = Path(__file__).parents[1]
MEMORY = "Lower --batch-size, --crop or --workers, or use --device cpu"


def described(error: Exception) -> tuple[str, int]:
    """A sentence and the exit code: 2 where the machine refuses (disk, memory, a path), else 1, our error.

    The traceback of our errors goes to a file of the system's temporary folder, which the sentence names.
    """
    what = " ".join(f"{error}".split())
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError" or "allocate memory" in what:
        return f"There is not enough memory here. {MEMORY}, then run the same command again.", 2
    if isinstance(error, OSError) and error.errno is not None:
        name = error.filename if isinstance(error.filename, (str, bytes)) else ""
        file = os.fsdecode(name)
        if not file.startswith(str(PACKAGE)):
            where = f"{_short(file)} cannot be used" if file else "The system refuses"
            return f"{where} ({error.strerror}). Check paths, rights and free space, then run it again.", 2
    return f"This is an error of torchbas, not yours ({type(error).__name__}: {_short(what)}). {_written(error)}", 1


@contextmanager
def quiet_threads() -> Iterator[None]:
    """No traceback of a thread to which the machine refuses something, as TensorBoard's: it is raised here as well."""
    others = threading.excepthook

    def quiet(failed: threading.ExceptHookArgs) -> None:
        if not isinstance(failed.exc_value, OSError):
            others(failed)

    threading.excepthook = quiet
    try:
        yield
    finally:
        threading.excepthook = others


def _short(text: str) -> str:
    return text if len(text) <= 200 else f"{text[:100]} ... {text[-95:]}"


def _written(error: Exception) -> str:
    """Where the traceback is."""
    try:
        descriptor, name = tempfile.mkstemp(".txt", "torchbas-")
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(f"bas {shlex.join(sys.argv[1:])}\n\n{''.join(traceback.format_exception(error))}")
    except OSError:
        return "Run it again with --debug to see where."
    return f"Please report it with {name}."
