"""Memory that a step frees, kept for the next one."""

from __future__ import annotations

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # names of glibc's malloc.h
_MOST = 2**30


def keep_freed_memory() -> bool:
    """Tell the C library not to hand freed memory back to the system, for the rest of this process.

    A step frees hundreds of megabytes in large tensors and wants them again at once. By default glibc gives each back,
    and the system clears every page of the next one. Only glibc is told; elsewhere, and on a GPU, nothing changes.

    Returns:
        Whether it was told.
    Source:
        mallopt(3).
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    return all(mallopt(name, _MOST) == 1 for name in (_MMAP_THRESHOLD, _TRIM_THRESHOLD))
