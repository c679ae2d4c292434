"""What a reader does with a file: an answer, a sentence, or what must never happen."""

import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from torchbas.errors import InputError

FORBIDDEN = ("os.system", "subprocess.Popen", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "pty.spawn")
FORBIDDEN += ("socket.connect", "socket.getaddrinfo", "os.startfile")
PATIENCE = 10
"""Seconds until a reader hangs."""
KINDS = ("read", "refused", "traceback", "hang", "code run", "file not named", "several lines", "killed")
"""Kinds of outcome; only the first two may be. ``killed``: the process of the reader ended."""

_seen: list[str] | None = None


class Outcome(NamedTuple):
    """One of :data:`KINDS`, and what is known of it."""

    kind: str
    said: str = ""


class _TooLong(BaseException):
    pass


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if _seen is not None and event in FORBIDDEN:
        _seen.append(f"{event} {arguments[:1]}")


sys.addaudithook(_watch)  # for good: hooks cannot be taken back, so this one looks whether somebody asks


@contextmanager
def watched() -> Iterator[list[str]]:
    """Programs started and connections made in the block."""
    global _seen
    _seen = []
    try:
        yield _seen
    finally:
        _seen = None


@contextmanager
def _patience() -> Iterator[None]:
    def stop(*_: object) -> None:
        raise _TooLong

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(PATIENCE)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def judged(read: Callable[[], object], names: Sequence[str], canary: Path | None = None) -> Outcome:
    """The outcome of a reader; a sentence that refuses must hold one of ``names``.

    Args:
        canary: a file that only code hidden in the input would make.
    """
    with watched() as seen:
        try:
            with _patience():
                read()
            outcome = Outcome("read")
        except InputError as error:
            outcome = _refusal(str(error), names)
        except _TooLong:
            outcome = Outcome("hang")
        except Exception as error:
            trace = error.__traceback__
            while trace and trace.tb_next:
                trace = trace.tb_next
            where = f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace else ""
            outcome = Outcome("traceback", f"{type(error).__name__} at {where}: {error}"[:300])
    if seen or (canary is not None and canary.exists()):
        return Outcome("code run", "; ".join(seen) or "the canary is there")
    return outcome


def _refusal(said: str, names: Sequence[str]) -> Outcome:
    if len(said.splitlines()) != 1:
        return Outcome("several lines", said[:300])
    return Outcome("refused" if any(name in said for name in names) else "file not named", said[:300])
