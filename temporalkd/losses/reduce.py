"""What every loss shares: precision, shape checks, and means over the entries that count."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor

P = ParamSpec("P")


def full_precision(loss: Callable[P, Tensor]) -> Callable[P, Tensor]:
    """Raise half-precision arguments to float32, leave float64 alone, and keep autocast out of the arithmetic."""

    @functools.wraps(loss)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> Tensor:
        first = args[0]
        while not isinstance(first, Tensor):
            first = first[0]  # type: ignore[index]
        with torch.autocast(first.device.type, enabled=False):
            return loss(*map(_raise, args), **{k: _raise(v) for k, v in kwargs.items()})  # type: ignore[arg-type]

    return wrapper


def _raise(value: object) -> object:
    if isinstance(value, list | tuple):
        return [_raise(v) for v in value]
    if isinstance(value, Tensor) and value.dtype in (torch.float16, torch.bfloat16):
        return value.float()
    return value


def mean_over(total: Tensor, count: Tensor | float) -> Tensor:
    """`total / count`, with the count summed over all processes; 0, with a graph, where nothing counts.

    Under DDP the gradients are averaged over the processes, so that local sums are divided by the global count and
    multiplied by the number of processes: the mean is then that of one process with the whole batch.
    """
    count = torch.as_tensor(count, dtype=total.dtype, device=total.device)
    if dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1:
        count = count.clone()
        dist.all_reduce(count)
        total = total * dist.get_world_size()
    return total / count.clamp(min=torch.finfo(count.dtype).tiny) if count > 0 else total * 0.0


def masked_mean(values: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean of `values` over the entries that count.

    Shape:
        values: any.
        weight: broadcastable to values; bool (which entries count) or float (how much). None: all count.
    """
    if weight is None:
        return mean_over(values.sum(), values.numel())
    weight = weight.expand_as(values)
    counted = torch.where(weight > 0, values * weight, values.new_zeros(()))
    return mean_over(counted.sum(), weight.sum(dtype=values.dtype))


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


def match_size(student: Tensor, teacher: Tensor) -> Tensor:
    """Student map at the teacher's size: bilinear where they differ, the same tensor where they agree."""
    if student.shape[-2:] == teacher.shape[-2:]:
        return student
    return F.interpolate(student, teacher.shape[-2:], mode="bilinear", align_corners=False)
