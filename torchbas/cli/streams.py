"""What is printed: it never stops the work, even where nobody reads any more."""

import errno
import io
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any

NARROWEST, WIDEST = 40, 1000
"""Columns between which help and tables can be laid out; at one column, line breaking never ends."""
GONE = (errno.EPIPE, errno.EBADF, errno.EIO, errno.ESHUTDOWN, errno.EINVAL)
"""Nobody reads any more: the pipe is broken, the descriptor closed, the terminal gone; Windows says EINVAL."""


class Unbreakable(io.TextIOBase):
    """A stream that forgets what is written to it once its reader is gone, or where there is none from the start."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.lost: OSError | None = None
        """Why something that somebody waits for was not written."""

    def write(self, text: str, /) -> int:
        """Write as far as somebody reads; letters that the encoding lacks are escaped."""
        try:
            self._try("write", text)
        except UnicodeEncodeError:
            self._try("write", text.encode(self.encoding, "backslashreplace").decode(self.encoding))
        return len(text)

    def flush(self) -> None:
        """Flush as far as somebody reads."""
        self._try("flush")

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return self._stream is not None and self._stream.isatty()

    def fileno(self) -> int:
        """The descriptor below."""
        if self._stream is None:
            raise io.UnsupportedOperation("fileno")
        return self._stream.fileno()

    @property
    def encoding(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Encoding of the stream below."""
        return getattr(self._stream, "encoding", None) or "utf-8"

    def _try(self, what: str, *words: str) -> None:
        if self._stream is None:
            return
        try:
            getattr(self._stream, what)(*words)
        except OSError as error:
            if error.errno not in GONE:
                self.lost = error
            _forget(self._stream)
            self._stream = None


@contextmanager
def unbreakable() -> Iterator[Unbreakable]:
    """Let neither stream fail and no line be too narrow for its words; yields the one that stands for stdout."""
    columns = shutil.get_terminal_size().columns
    if not NARROWEST <= columns <= WIDEST:
        os.environ["COLUMNS"] = str(min(max(columns, NARROWEST), WIDEST))
    out, err = Unbreakable(sys.stdout), Unbreakable(sys.stderr)
    with redirect_stdout(out), redirect_stderr(err):  # pyright: ignore[reportArgumentType]
        try:
            yield out
        finally:
            out.flush()
            err.flush()


def _forget(stream: Any) -> None:
    """Let what the stream still holds go nowhere, or the interpreter would complain when it ends."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
    except (OSError, ValueError):  # a stream without a descriptor holds nothing
        pass
