"""One dropout mask for all frames of a clip, whatever the network drops and by whose code."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

_aten = torch.ops.aten
_IN_PLACE = (_aten.bernoulli_.float, _aten.bernoulli_.Tensor, _aten.uniform_.default, _aten.normal_.default)
_LIKE = (_aten.bernoulli.default, _aten.bernoulli.p, _aten.rand_like.default, _aten.randn_like.default)
_OF_SIZE = (_aten.rand.default, _aten.randn.default)


class SharedDropout(TorchDispatchMode):
    """Within it a network that is given B clips of T frames, (B T, ...) clip by clip, draws once a clip.

    A mask drawn frame by frame is measured as flicker by every loss between frames. All random numbers of a network end
    in a few operators of torch, whether nn.Dropout, F.dropout2d, timm's DropPath or torchvision's stochastic_depth ask
    for them: here those draw for the first frame of each clip and repeat it for the others. Tensors whose first
    dimension is not a multiple of B T keep a draw of their own, as in attention with the batch second, and so do fused
    attention kernels with dropout inside.

    Args:
        clips: B.
        length: T.
    """

    def __init__(self, clips: int, length: int):
        super().__init__()
        self.clips, self.length = clips, length

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in _OF_SIZE and self._per_frame(args[0]):
            frames, *rest = args[0]
            return self._repeated(func([frames // self.length, *rest], **kwargs))
        if not args or not isinstance(args[0], Tensor) or not self._per_frame(args[0].shape):
            return func(*args, **kwargs)
        first: Tensor = args[0]
        if func in _IN_PLACE:
            others = [self._of_first(a) if isinstance(a, Tensor) else a for a in args[1:]]
            return first.copy_(self._repeated(func(self._of_first(first), *others, **kwargs)))
        if func in _LIKE:
            return self._repeated(func(self._of_first(first), *args[1:], **kwargs))
        if func is _aten.native_dropout.default:
            scaled, mask = func(torch.ones_like(self._of_first(first)), *args[1:], **kwargs)
            return first * self._repeated(scaled), self._repeated(mask)
        return func(*args, **kwargs)

    def _per_frame(self, shape: Sequence[int]) -> bool:
        return len(shape) > 0 and shape[0] > 0 and shape[0] % (self.clips * self.length) == 0

    def _of_first(self, x: Tensor) -> Tensor:
        """(B T k, ...) -> (B k, ...), a copy of what the first frame of each clip has."""
        return x.unflatten(0, (self.clips, self.length, -1))[:, 0].flatten(0, 1).clone()

    def _repeated(self, drawn: Tensor) -> Tensor:
        """(B k, ...) -> (B T k, ...)"""
        groups = drawn.unflatten(0, (self.clips, 1, -1))
        return groups.expand(-1, self.length, *groups.shape[2:]).flatten(0, 2)
