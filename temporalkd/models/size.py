"""How large a network may become while it is built from what somebody wrote."""

from __future__ import annotations

from math import prod
from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode

MAX_VALUES = 2**32
"""16 GiB of float32; the largest encoders that are published have half as many."""
MAX_TENSORS = 100_000


class LimitedSize(TorchDispatchMode):
    """Within it layers are made with so many values and tensors in all; nothing else is different.

    Raises:
        ValueError: for the first that is too much, before it takes memory; names the limit.
    """

    def __init__(self, values: int = MAX_VALUES, tensors: int = MAX_TENSORS):
        super().__init__()
        self.values, self.tensors = values, tensors
        self._values = self._tensors = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        size = args[0] if args else None
        if isinstance(size, list | tuple) and all(isinstance(side, int) for side in size):  # a tensor out of nothing
            self._values, self._tensors = self._values + prod(size), self._tensors + 1
        if self._values > self.values:
            raise ValueError(f"refused, a network of more numbers than the limit of {self.values}")
        if self._tensors > self.tensors:
            raise ValueError(f"refused, a network of more tensors than the limit of {self.tensors}")
        return func(*args, **(kwargs or {}))
