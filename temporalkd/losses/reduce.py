"""What every loss shares: precision, shape checks, and means over the entries that count."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

P = ParamSpec("P")
R = TypeVar("R")
AllSum = Callable[[Tensor], Tensor]
"""Sums a tensor over the processes of a training, see `training.distributed.all_sum`. Losses call it before a quotient
or another nonlinearity, so that their value is that of the whole batch; the default `local_sum` is for one process."""


def full_precision(loss: Callable[P, R]) -> Callable[P, R]:
    """Raise half-precision arguments to float32, leave float64 alone, and keep autocast out of the arithmetic."""

    @functools.wraps(loss)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        first: object = next(iter((*args, *kwargs.values())))
        while isinstance(first, list | tuple) and first:
            first = first[0]
        with torch.autocast(first.device.type if isinstance(first, Tensor) else "cpu", enabled=False):
            return loss(*map(_raise, args), **{k: _raise(v) for k, v in kwargs.items()})  # type: ignore[arg-type]

    return wrapper


def _raise(value: object) -> object:
    if isinstance(value, list | tuple):
        return [_raise(v) for v in value]
    if isinstance(value, Tensor) and value.dtype in (torch.float16, torch.bfloat16):
        return value.float()
    return value


def local_sum(local: Tensor) -> Tensor:
    """The sum over the only process: the tensor itself."""
    return local


def mean_over(total: Tensor, count: Tensor | float, all_sum: AllSum = local_sum) -> Tensor:
    """`total / count`, each summed over the processes by `all_sum`; 0, with a graph, where nothing counts."""
    count = torch.as_tensor(count, dtype=total.dtype, device=total.device)
    total, count = all_sum(torch.stack([total, count.detach()])).unbind()
    return total / count.clamp(min=torch.finfo(count.dtype).tiny).masked_fill(count <= 0, torch.inf)


def masked_mean(values: Tensor, weight: Tensor | None = None, all_sum: AllSum = local_sum) -> Tensor:
    """Mean of `values` over the entries that count, of all processes.

    Shape:
        values: any.
        weight: broadcastable to values; bool (which entries count) or float (how much). None: all count.
    """
    if weight is None:
        return mean_over(values.sum(), values.numel(), all_sum)
    weight = weight.expand_as(values)
    counted = torch.where(weight > 0, values * weight, values.new_zeros(()))
    return mean_over(counted.sum(), weight.sum(dtype=values.dtype), all_sum)


def check_same(name: str, student: Tensor, teacher: Tensor, *, channels: bool = True) -> None:
    """Raise ValueError, with the shapes in it, unless student and teacher match (in channels too, if asked)."""
    same = student.shape == teacher.shape if channels else _no_channels(student) == _no_channels(teacher)
    if not same or student.ndim != 4:
        what = "shapes (B, C, H, W)" if channels else "batch and size (channels may differ)"
        raise ValueError(
            f"{name}: student and teacher must have the same {what}, "
            f"got {tuple(student.shape)} and {tuple(teacher.shape)}"
        )


def _no_channels(x: Tensor) -> tuple[int, ...]:
    return (x.shape[0], *x.shape[2:])


def check_mask(name: str, values: Tensor, mask: Tensor) -> None:
    """Raise ValueError, with the shapes in it, unless the mask is (B, 1, H, W) for values of (B, C, H, W)."""
    if mask.shape != (values.shape[0], 1, *values.shape[2:]):
        raise ValueError(
            f"{name}: a mask of shape (B, 1, H, W) must fit values of (B, C, H, W), "
            f"got {tuple(mask.shape)} and {tuple(values.shape)}"
        )


def keep(values: Tensor, mask: Tensor) -> Tensor:
    """`values` where the mask holds, 0 elsewhere: what lies there, be it NaN, reaches neither a value nor a gradient.

    Shape:
        values: (B, C, H, W).
        mask: (B, 1, H, W), bool.
    """
    return torch.where(mask > 0, values, values.new_zeros(()))


def match_size(student: Tensor, teacher: Tensor) -> Tensor:
    """Student map at the teacher's size: bilinear where they differ, the same tensor where they agree."""
    if student.shape[-2:] == teacher.shape[-2:]:
        return student
    return F.interpolate(student, teacher.shape[-2:], mode="bilinear", align_corners=False)


def unit(x: Tensor, dim: int) -> Tensor:
    """Vectors of length one along `dim`; a vector of zeros stays zero, with a gradient of ordinary size."""
    length = torch.linalg.vector_norm(x, dim=dim, keepdim=True)
    return x / torch.where(length > 1e-12, length, torch.ones_like(length))
