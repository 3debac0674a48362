"""Working ahead: the next items are read, or the last ones written, in other threads while this one is worked on."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import closing
from itertools import repeat
from threading import Event
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def ahead(
    work: Callable[[Item], Result],
    items: Iterable[Item],
    threads: int = 1,
    begin: Callable[[], None] | None = None,
) -> Generator[Result]:
    """`work` of each item, in order, done in `threads` others while the results before it are used.

    At most `threads` items more than have been given out are begun, so that one stage after another may be stacked:
    `ahead(write, ahead(compute, ahead(read, names)))`. An error of `work` is raised in its item's turn, one of `items`
    at once; nothing is begun after it, nor after the iterator is closed.

    Args:
        work: called from the other threads; from one alone where `threads` is 1.
        items: taken from the thread that uses the results.
        begin: what each thread does first.
    """
    pending: deque[Future[Result]] = deque()
    failed = Event()

    def unless_failed(item: Item) -> Result:
        """What is begun after a failure is not asked for: its thread took it before the error was heard."""
        if failed.is_set():
            raise CancelledError
        try:
            return work(item)
        except BaseException:
            failed.set()
            raise

    pool = ThreadPoolExecutor(threads, thread_name_prefix="ahead", initializer=begin)
    try:
        for item in items:
            pending.append(pool.submit(unless_failed, item))
            if len(pending) > threads:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def read_ahead(items: Iterable[Item]) -> Generator[Item]:
    """The items of a stream, each taken from it in one other thread while those before it are used."""
    stream, end = iter(items), object()
    with closing(ahead(lambda _: next(stream, end), repeat(None))) as taken:
        for item in taken:
            if item is end:
                return
            yield item  # type: ignore[misc]


class ReadAhead(Generic[Item]):
    """`read`, with the item after the one that is asked for begun already, in a thread.

    An error in reading is raised when its item is asked for.

    Args:
        read: gives the item of an index; called from one other thread.
        length: number of items.
    """

    def __init__(self, read: Callable[[int], Item], length: int):
        self._read, self._length = read, length
        self._follows: int | None = None
        self._items: Iterator[Item] = iter(())

    def __call__(self, index: int) -> Item:
        """The item of that index."""
        if index != self._follows:
            self._items = ahead(self._read, range(index, self._length))
        self._follows = None
        item = next(self._items)
        self._follows = index + 1
        return item
