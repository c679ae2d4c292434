"""Functions compiled by numba at their first call: once on a machine, afterwards read from numba's cache.

Numba is imported by the first call, not by the import of a module that has such functions.
"""

import logging
from collections.abc import Callable
from functools import cache, cached_property, update_wrapper
from typing import Any


def compiled(fastmath: bool | set[str] = False) -> Callable[[Callable[..., Any]], "CompiledFunction"]:
    """Decorator for functions of numbers and NumPy arrays, which may call each other. They release the GIL.

    Args:
        fastmath: True, or the LLVM flags that may change the rounding of floating-point operations.
    """
    return lambda function: CompiledFunction(function, fastmath)


class CompiledFunction:
    """A function that is compiled when it is called for the first time."""

    def __init__(self, function: Callable[..., Any], fastmath: bool | set[str]) -> None:
        update_wrapper(self, function)
        self._function, self._fastmath = function, fastmath

    def __call__(self, *arguments: Any) -> Any:
        """The function's result."""
        return self._dispatcher(*arguments)

    @property
    def _numba_type_(self) -> Any:
        """Numba's type of this function, which numba asks for where another compiled function calls it."""
        return self._dispatcher._numba_type_

    @cached_property
    def _dispatcher(self) -> Any:
        from numba import njit

        _announce_compilation()
        return njit(cache=True, nogil=True, fastmath=self._fastmath)(self._function)


@cache
def _announce_compilation() -> None:
    """Log one line when numba first compiles one of our functions in this process, that is, finds none in its cache."""
    from numba.core import event

    @cache
    def announce() -> None:
        logging.getLogger("torchbas").warning("Compiling for this machine, once: this takes up to half a minute.")

    class CompilationListener(event.Listener):
        def on_start(self, event: Any) -> None:
            if event.data["dispatcher"].py_func.__module__.startswith("torchbas."):
                announce()

        def on_end(self, event: Any) -> None:
            """Nothing to do; numba demands the method."""

    event.register("numba:compile", CompilationListener())
