"""Ctrl-C: one is enough, whatever the process is doing."""

import _thread
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

PATIENCE = (2.0, 2.0, 2.0, 2.0)
"""Seconds that each interrupt is given before the next one, and the last before the process ends."""
STOPPED = 130


@contextmanager
def interruptible(sentence: Callable[[], str]) -> Iterator[None]:
    """Ctrl-C and SIGTERM raise :class:`KeyboardInterrupt` here.

    It can be swallowed (by a callback from compiled code, a finalizer), wait for compiled code to return, or for
    threads that have much to do. So it is raised again, and at last the process says ``sentence`` and ends. Whoever
    sets handlers of its own meanwhile, as a training does, is left in peace.
    """
    if threading.current_thread() is not threading.main_thread():  # no other may handle signals
        yield
        return
    over, watched = threading.Event(), (signal.SIGINT, signal.SIGTERM)

    def stop(*_: object) -> None:
        if not over.is_set():
            raise KeyboardInterrupt

    def insist() -> None:
        while (received := ours.recv(1)) and signal.getsignal(received[0]) is not stop:
            pass
        for seconds in PATIENCE if received else ():
            if over.wait(seconds):
                return
            _interrupt_main()
        if received and not over.is_set():
            sys.stderr.write(f"bas: {sentence()}\n")
            sys.stderr.flush()
            os._exit(STOPPED)

    ours, kernels = socket.socketpair()  # told of a signal at once, unlike Python's handlers
    with ours, kernels:
        kernels.setblocking(False)
        descriptor = signal.set_wakeup_fd(kernels.fileno(), warn_on_full_buffer=False)
        before = {number: signal.signal(number, stop) for number in watched}
        watch = threading.Thread(target=insist, daemon=True)
        watch.start()
        try:
            yield
        finally:
            over.set()
            for number, handler in before.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(descriptor)
            kernels.close()
            watch.join()


def _in_worker() -> None:
    """A forked process is none of ours: its signals would be told to the one that it comes from."""
    for number in (signal.SIGINT, signal.SIGTERM):
        if getattr(signal.getsignal(number), "__module__", None) == __name__:
            signal.set_wakeup_fd(-1)
            signal.signal(number, signal.SIG_DFL)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_worker)


def _interrupt_main() -> None:
    """Interrupt the main thread, where the system can also in what it waits for."""
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
    else:
        _thread.interrupt_main()
