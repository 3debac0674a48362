"""A run folder has one training at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

try:
    import fcntl
except ImportError:  # Windows: there two trainings are not kept apart
    fcntl = None  # type: ignore[assignment]

LOCK = ".lock"


@dataclass(frozen=True)
class RunLock:
    """A run folder that is taken: here, or by another process of the same training, which has the open `file`."""

    folder: Path
    file: IO[bytes] | None = None

    def is_whole(self) -> bool:
        """Whether the folder still is the one that was taken."""
        with suppress(OSError):
            return self.file is None or os.path.samestat(os.fstat(self.file.fileno()), (self.folder / LOCK).stat())
        return False

    def removed(self) -> bool:
        """Whether somebody has removed it.

        Raises:
            FileExistsError: and another training has taken its place.
        """
        if self.is_whole():
            return False
        if (self.folder / LOCK).exists():
            raise FileExistsError(f"{self.folder} was removed during the training, and another training uses it now")
        return True


@contextmanager
def run_lock(folder: Path, enabled: bool = True) -> Iterator[RunLock]:
    """Within it the folder is there and no other training writes to it; a process that is killed gives it free.

    Where nothing was written it is as it was, in the end.

    Raises:
        FileExistsError: another training writes there, or it is a file.
    """
    if not enabled:
        yield RunLock(folder)
        return
    if folder.exists() and not folder.is_dir():
        raise FileExistsError(f"{folder} is a file, expected a folder")
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _opened(folder) as file:
            _take(file, folder)
            lock = RunLock(folder, file)
            try:
                yield lock
            finally:
                if lock.is_whole():
                    with suppress(OSError):  # where open files cannot be deleted it stays
                        (folder / LOCK).unlink()
    finally:
        with suppress(OSError):
            for place in made:
                place.rmdir()


def _opened(folder: Path) -> IO[bytes]:
    """Not through a link, which leads elsewhere."""
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        return os.fdopen(os.open(folder / LOCK, flags), "rb")
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(folder)) from error


def _take(file: IO[bytes], folder: Path) -> None:
    """Not by flock: the loader workers of a killed process would hold it on."""
    if fcntl is None:
        return
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        raise FileExistsError(
            f"{folder}: another training writes there: wait, or name another folder with -o"
        ) from None
    except OSError:  # a file system that knows no locks
        return
