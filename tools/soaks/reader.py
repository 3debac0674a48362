"""A reader of files with a whole file of its own: what is to be damaged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor


@dataclass(frozen=True)
class Reader:
    """A reader, a whole file for it, and what may come out.

    Args:
        make: writes the whole file into a folder and says where.
        checked: the format has checksums: what is read of a damaged file must be what was in the whole one.
    """

    name: str
    make: Callable[[Path], Path]
    read: Callable[[Path], Any]
    is_valid: Callable[[Any], bool]
    checked: bool = False

    def same(self, one: Any, other: Any) -> bool:
        """Whether two values are one."""
        return _plain(one) == _plain(other)


def _plain(value: Any) -> Any:
    """Values that == compares, NaN like any other."""
    if isinstance(value, Tensor):
        return str(value.dtype), tuple(value.shape), value.numpy().tobytes()
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return repr(value)
