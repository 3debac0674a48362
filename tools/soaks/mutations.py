"""Damage to files: flipped bits, lost, moved, repeated, overwritten and inserted blocks; each by a number alone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Damage = Callable[[bytearray, np.random.Generator], None]
LONGEST = 64


def damaged(content: bytes, *seed: int) -> bytes:
    """The content after one to three kinds of damage; the same for the same seed, and never as it was."""
    random = np.random.default_rng(seed)
    changed = bytearray(content)
    while changed == content:
        for _ in range(random.integers(1, 4)):
            KINDS[random.integers(len(KINDS))](changed, random)
    return bytes(changed)


def flip(content: bytearray, random: np.random.Generator) -> None:
    """One to eight bits."""
    for _ in range(random.integers(1, 9)):
        if content:
            content[random.integers(len(content))] ^= 1 << int(random.integers(8))


def truncate(content: bytearray, random: np.random.Generator) -> None:
    """What follows some byte is gone."""
    del content[random.integers(len(content) + 1) :]


def insert(content: bytearray, random: np.random.Generator) -> None:
    """Bytes that do not belong."""
    place = random.integers(len(content) + 1)
    content[place:place] = random.bytes(int(random.integers(1, LONGEST)))


def drop(content: bytearray, random: np.random.Generator) -> None:
    """A block is gone."""
    start, end = _block(content, random)
    del content[start:end]


def repeat(content: bytearray, random: np.random.Generator) -> None:
    """A block comes twice."""
    start, end = _block(content, random)
    content[end:end] = content[start:end]


def swap(content: bytearray, random: np.random.Generator) -> None:
    """Two halves of a block change places."""
    start, end = _block(content, random)
    middle = (start + end) // 2
    content[start:end] = content[middle:end] + content[start:middle]


def overwrite(content: bytearray, random: np.random.Generator) -> None:
    """A block of zeros, of ones, of signs that mean something to parsers."""
    start, end = _block(content, random)
    sign = b"\x00\xff{[\"'&*9-"[random.integers(10)]
    content[start:end] = bytes([sign]) * (end - start)


def _block(content: bytearray, random: np.random.Generator) -> tuple[int, int]:
    start = int(random.integers(len(content) + 1))
    return start, min(len(content), start + int(random.integers(1, LONGEST)))


KINDS: tuple[Damage, ...] = (flip, flip, truncate, insert, drop, repeat, swap, overwrite)
