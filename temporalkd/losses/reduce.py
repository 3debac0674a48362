"""What every loss shares: precision, shape checks, and means over the entries that count."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor

P = ParamSpec("P")
R = TypeVar("R")


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


def mean_over(total: Tensor, count: Tensor | float) -> Tensor:
    """`total / count`, with the count summed over all processes; 0, with a graph, where nothing counts.

    Under DDP the gradients are averaged over the processes, so that local sums are divided by the global count and
    multiplied by the number of processes: the mean is then that of one process with the whole batch.
    """
    count = torch.as_tensor(count, dtype=total.dtype, device=total.device)
    if (processes := _processes()) > 1:
        count = count.clone()
        dist.all_reduce(count)
        total = total * processes
    return total / count.clamp(min=torch.finfo(count.dtype).tiny) if count > 0 else total * 0.0


def sum_over_processes(local: Tensor) -> Tensor:
    """Sum of the processes' tensors, the same in each; the gradient reaches the process's own part.

    It is multiplied by the number of processes: once DDP has averaged the gradients, they are those of one process
    with the whole batch, for any function of the sum. One process: the tensor itself.
    """
    processes = _processes()
    if processes == 1:
        return local
    total = local.detach().clone(memory_format=torch.contiguous_format)
    dist.all_reduce(total)
    scaled = local * processes
    return total + (scaled - scaled.detach())


def _processes() -> int:
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


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
