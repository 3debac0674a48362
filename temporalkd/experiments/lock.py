"""A run folder has one training at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

try:
    import fcntl
except ImportError:  # Windows: there two trainings are not kept apart
    fcntl = None  # type: ignore[assignment]

LOCK = ".lock"


@contextmanager
def run_lock(folder: Path, enabled: bool = True) -> Iterator[None]:
    """Within it the folder is there and no other training writes to it; a process that is killed releases it.

    A folder in which nothing was written is gone afterwards.

    Raises:
        FileExistsError: another training writes there, or it is a file.
    """
    if not enabled:
        yield
        return
    if folder.exists() and not folder.is_dir():
        raise FileExistsError(f"{folder} is a file, expected a folder")
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / LOCK).open("ab") as file:
            _take(file, folder)
            try:
                yield
            finally:
                with suppress(OSError):  # where open files cannot be deleted it stays
                    (folder / LOCK).unlink()
    finally:
        with suppress(OSError):
            for place in made:
                place.rmdir()


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
