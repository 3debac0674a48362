"""How this process holds memory while it runs a network over many frames."""

from __future__ import annotations

import ctypes
import platform

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8
"""Of malloc.h."""


def keep_memory() -> None:
    """Let the C library keep what a layer frees for the next one, in every thread.

    glibc gives large blocks back to the system, which clears them again page by page for every frame. Where the C
    library is another one, nothing changes.
    """
    if platform.libc_ver()[0] == "glibc":
        mallopt = ctypes.CDLL(None).mallopt
        for option, value in ((M_MMAP_THRESHOLD, 1 << 30), (M_TRIM_THRESHOLD, (1 << 31) - 1), (M_ARENA_MAX, 1)):
            mallopt(option, value)
