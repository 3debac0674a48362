"""Reading ahead: the next item is decoded while this one is worked on."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

Item = TypeVar("Item")


class ReadAhead(Generic[Item]):
    """`read`, with the item after the one that is asked for begun already, in a thread.

    An error in reading is raised when its item is asked for.

    Args:
        read: gives the item of an index; called from one other thread.
        length: number of items.
    """

    def __init__(self, read: Callable[[int], Item], length: int):
        self._read, self._length = read, length
        self._thread: ThreadPoolExecutor | None = None
        self._begun: tuple[int, Future[Item]] | None = None

    def __call__(self, index: int) -> Item:
        """The item of that index."""
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="read-ahead")
        begun = self._begun
        item = begun[1] if begun is not None and begun[0] == index else self._thread.submit(self._read, index)
        follows = index + 1
        self._begun = (follows, self._thread.submit(self._read, follows)) if follows < self._length else None
        return item.result()
