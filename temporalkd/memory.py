"""What the C library does with memory that a process frees."""

from __future__ import annotations

import ctypes
import platform

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8  # names of glibc's malloc.h


def keep_freed_memory() -> bool:
    """Keep, for the rest of this process and in all its threads, what one step frees for the next.

    By default glibc gives large blocks back to the system, which clears them again page by page when they are wanted.
    For steps that want the same sizes again: where sizes change, what is kept splinters and grows.

    Returns:
        Whether the C library was told: where it is not glibc nothing changes.
    Source:
        mallopt(3).
    """
    return _told((_MMAP_THRESHOLD, 2**30), (_TRIM_THRESHOLD, 2**31 - 1), (_ARENA_MAX, 1))


def give_back_freed_memory(worker: int = 0) -> None:
    """Give every large block back as soon as it is freed, so that a process that lives long does not grow.

    The first thing that a worker of a DataLoader does, whichever `worker` it is.
    """
    _told((_MMAP_THRESHOLD, 2**20), (_TRIM_THRESHOLD, 2**20))


def _told(*options: tuple[int, int]) -> bool:
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    answers = [mallopt(option, value) for option, value in options]
    return all(answer == 1 for answer in answers)
