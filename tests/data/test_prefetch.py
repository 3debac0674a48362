"""Working ahead gives what working gives, and errors where they belong."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from temporalkd.data.prefetch import ReadAhead, ahead, read_ahead


def test_in_order_the_next_item_is_read_meanwhile_and_each_only_once() -> None:
    asked: list[int] = []
    begun = threading.Event()

    def read(index: int) -> str:
        asked.append(index)
        if index == 1:
            begun.set()
        return f"item {index}"

    items = ReadAhead(read, 4)
    assert items(0) == "item 0"
    assert begun.wait(10), "item 1 was begun before anybody asked"
    assert [items(index) for index in (1, 2, 3)] == ["item 1", "item 2", "item 3"]
    assert asked == [0, 1, 2, 3]


def test_an_error_comes_with_its_own_item() -> None:
    def read(index: int) -> int:
        if index == 1:
            raise ValueError("item 1 is broken")
        return index

    items = ReadAhead(read, 3)
    assert items(0) == 0
    with pytest.raises(ValueError, match="item 1 is broken"):
        items(1)
    assert items(2) == 2


def test_a_stream_is_read_in_one_thread_to_its_end() -> None:
    readers: set[int] = set()

    def stream() -> Iterator[int]:
        for item in range(6):
            readers.add(threading.get_ident())
            yield item

    assert list(read_ahead(stream())) == list(range(6))
    assert len(readers) == 1 and threading.get_ident() not in readers


def test_what_waits_behind_an_error_is_not_begun() -> None:
    """Though a thread is free for it long before the error is heard."""
    begun: list[int] = []
    failed = threading.Event()

    def work(number: int) -> int:
        begun.append(number)
        if number == 0:
            assert failed.wait(10)
            time.sleep(0.1)
        if number == 1:
            failed.set()
            raise ValueError("broken")
        return number

    results = ahead(work, range(4), threads=2)
    assert next(results) == 0
    with pytest.raises(ValueError, match="broken"):
        list(results)
    assert begun == [0, 1]
