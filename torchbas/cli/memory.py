"""Memory that is freed is kept for the next batch: a fifth of a prediction's CPU time went into asking for it again."""

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Numbers of glibc's ``malloc.h``."""
LARGEST = 1 << 30
"""Bytes of the largest block that is kept, and of all that is free before some is given back."""


def keep_freed_memory() -> None:
    """Let blocks of any usual size come from the heap.

    glibc gives blocks above 32 MiB back to the system at once, and the system clears every page that it hands out: a
    feature map of a batch is larger than that. Elsewhere than on Linux nothing happens.
    """
    if not sys.platform.startswith("linux"):
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library
        return
    mallopt(_MMAP_THRESHOLD, LARGEST)
    mallopt(_TRIM_THRESHOLD, LARGEST)
