"""Errors that no part of the program has foreseen, as one sentence and an exit code; the only place that sees them."""

import os
import shlex
import sys
import tempfile
import traceback

MEMORY = "Lower --batch-size, --crop or --workers, or use --device cpu"


def described(error: Exception) -> tuple[str, int]:
    """A sentence and the exit code: 2 where the machine refuses (disk, memory, a path), else 1, our error.

    The traceback of our errors goes to a file of the system's temporary folder, which the sentence names.
    """
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":  # torch's, without importing it
        return f"There is not enough memory here. {MEMORY}, then run the same command again.", 2
    if isinstance(error, OSError) and not _is_ours(error.filename):
        where = f"{os.fsdecode(error.filename)} cannot be used" if error.filename else "The system refused"
        return f"{where} ({error.strerror or error}). Check paths, rights and free space; then run it again.", 2
    what = " ".join(f"{type(error).__name__}: {error}".split())
    return f"This is an error of torchbas, not yours ({what[:200]}). {_written(error)}", 1


def _is_ours(file: object) -> bool:
    """Whether a file belongs to this installation, which should have all of its files."""
    name = os.fsdecode(file) if isinstance(file, (str, bytes, os.PathLike)) else ""
    return bool(name) and os.path.abspath(name).startswith((sys.prefix, os.path.dirname(os.path.dirname(__file__))))  # noqa: PTH100, PTH120


def _written(error: Exception) -> str:
    """Where the traceback is."""
    try:
        descriptor, name = tempfile.mkstemp(".txt", "torchbas-")
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(f"bas {shlex.join(sys.argv[1:])}\n\n{''.join(traceback.format_exception(error))}")
    except OSError:
        return "Run it again with --debug to see where."
    return f"Please report it with {name}."
