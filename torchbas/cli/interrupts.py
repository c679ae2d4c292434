"""Ctrl-C: one is enough, whatever the process is doing."""

import _thread
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

PATIENCE = (2.0, 2.0, 2.0)
"""Seconds after which Ctrl-C is repeated, each time; then the process ends."""
STOPPED = 130


@contextmanager
def interruptible(sentence: Callable[[], str]) -> Iterator[None]:
    """Ctrl-C and SIGTERM raise :class:`KeyboardInterrupt` here.

    It can be swallowed (by a callback from compiled code, a finalizer) or wait for threads that have much to do. So it
    is raised again, and at last the process says ``sentence`` and ends without asking.
    """
    if threading.current_thread() is not threading.main_thread():  # no other may handle signals
        yield
        return
    over, watch = threading.Event(), threading.Thread()

    def insist() -> None:
        for seconds in PATIENCE:
            if over.wait(seconds):
                return
            _thread.interrupt_main()
        if not over.wait(PATIENCE[-1]):
            sys.stderr.write(f"bas: {sentence()}\n")
            sys.stderr.flush()
            os._exit(STOPPED)

    def stop(number: int, frame: object) -> None:  # noqa: ARG001
        nonlocal watch
        if not watch.ident:
            watch = threading.Thread(target=insist, daemon=True)
            watch.start()
        raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        over.set()
        for number, handler in before.items():
            signal.signal(number, handler)
