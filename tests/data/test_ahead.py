"""Reading ahead gives what reading gives, and errors where they belong."""

from __future__ import annotations

import threading

import pytest

from temporalkd.data.ahead import ReadAhead


def test_in_order_the_next_item_is_read_meanwhile_and_each_only_once() -> None:
    asked: list[int] = []
    begun = threading.Event()

    def read(index: int) -> str:
        asked.append(index)
        if index == 1:
            begun.set()
        return f"item {index}"

    ahead = ReadAhead(read, 4)
    assert ahead(0) == "item 0"
    assert begun.wait(10), "item 1 was begun before anybody asked"
    assert [ahead(index) for index in (1, 2, 3)] == ["item 1", "item 2", "item 3"]
    assert asked == [0, 1, 2, 3]


def test_any_order_works() -> None:
    ahead = ReadAhead(lambda index: index * index, 10)
    order = [3, 3, 9, 0, 1, 5, 4]
    assert [ahead(index) for index in order] == [index * index for index in order]


def test_an_error_comes_with_its_own_item() -> None:
    def read(index: int) -> int:
        if index == 1:
            raise ValueError("item 1 is broken")
        return index

    ahead = ReadAhead(read, 3)
    assert ahead(0) == 0
    with pytest.raises(ValueError, match="item 1 is broken"):
        ahead(1)
    assert ahead(2) == 2
