"""How this process holds memory while it runs networks over many frames."""

from __future__ import annotations

import ctypes
import platform

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8  # names of glibc's malloc.h


def keep_freed_memory() -> bool:
    """Let the C library keep, for the rest of this process and in all its threads, what one step frees for the next.

    By default glibc gives large blocks back to the system, which clears them again page by page when they are wanted.
    Where the C library is another one, nothing changes.

    Returns:
        Whether it was told.
    Source:
        mallopt(3).
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    options = ((_MMAP_THRESHOLD, 2**30), (_TRIM_THRESHOLD, 2**31 - 1), (_ARENA_MAX, 1))
    told = [mallopt(option, value) for option, value in options]
    return all(answer == 1 for answer in told)
