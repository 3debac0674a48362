"""What a network costs to run: parameters, multiply-accumulates, frames per second."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode

from temporalkd.models.joint import Teacher
from temporalkd.models.segmenter import evaluating

_SECONDS = 1.0
_MOST = 50


@dataclass(frozen=True)
class Cost:
    """Of one frame: parameters in all, 1e9 multiply-accumulates of convolutions and matrix products, and its pace."""

    parameters: int
    gmacs: float
    fps: float


@torch.inference_mode()
def cost(segmenter: Teacher, size: tuple[int, int]) -> Cost:
    """Measured on one frame of (H, W) on the network's device, alone, after a warm-up; the median of about a second."""
    frame = torch.rand(1, 3, *size, device=segmenter.device)
    counter = FlopCounterMode(display=False)

    def once() -> None:
        segmenter(frame)
        if frame.is_cuda:
            torch.cuda.synchronize(frame.device)

    with evaluating(segmenter):
        with counter:
            segmenter(frame)
        seconds = median_seconds(once)
    parameters = sum(p.numel() for p in segmenter.parameters())
    return Cost(parameters, counter.get_total_flops() / 2e9, 1 / seconds)


def median_seconds(job: Callable[[], object]) -> float:
    """Of about a second of repetitions."""
    times: list[float] = []
    while len(times) < 3 or (sum(times) < _SECONDS and len(times) < _MOST):
        started = time.perf_counter()
        job()
        times.append(time.perf_counter() - started)
    return sorted(times)[len(times) // 2]
