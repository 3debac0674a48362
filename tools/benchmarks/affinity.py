"""Affinities between two frames in linear memory, against the N x N matrices."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.result import Result, rates
from temporalkd.losses import inter_affinity

SIZES = [(45, 60), (64, 86), (90, 120), (128, 256)]
CHANNELS = 256
MOST_PIXELS = 12_000
"""Above it the N x N form would take most of a machine's memory; it is given as what its matrices hold."""

Affinity = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


def affinity(repeats: int = 3) -> Iterator[Result]:
    """Forward and backward a second, and the peak memory beside the features, against the number of pixels."""
    for size in SIZES:
        pixels = size[0] * size[1]
        compared = pixels <= MOST_PIXELS
        maps = features(size)
        agreement = _agreement(maps) if compared else "one form alone"
        ours, theirs = rates(
            lambda m=maps: run(inter_affinity, m),  # type: ignore[misc]
            (lambda m=maps: run(full_matrix, m)) if compared else lambda: None,  # type: ignore[misc]
            1,
            repeats,
        )
        peak = peak_mib("ours", size)
        other = peak_mib("full", size) if compared else 3 * pixels**2 * 4 // 2**20
        yield Result(
            what=f"inter_affinity, {size[0]}x{size[1]} = {pixels} pixels, {CHANNELS} channels, forward + backward",
            unit="1/s",
            ours=ours,
            reference=theirs if compared else None,
            ratio=ours / theirs if compared else None,
            memory=f"{peak} MiB, the N x N form {'' if compared else 'at least '}{other} MiB: {peak / other:.3f}",
            agreement=agreement,
        )


def features(size: tuple[int, int]) -> list[Tensor]:
    """Student's and teacher's features of two frames; the student's want a gradient."""
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(1, CHANNELS, *size, generator=generator, requires_grad=k < 2) for k in range(4)]


def full_matrix(student_t: Tensor, student_k: Tensor, teacher_t: Tensor, teacher_k: Tensor) -> Tensor:
    """The definition: all pairs of pixels."""
    s_t, s_k, t_t, t_k = (F.normalize(f, dim=1).flatten(2) for f in (student_t, student_k, teacher_t, teacher_k))
    return (s_t.mT @ s_k - t_t.mT @ t_k).square().mean()


def run(form: Affinity, maps: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Value and the gradient of the first frame."""
    for student in maps[:2]:
        student.grad = None
    value = form(*maps)
    value.backward()
    assert maps[0].grad is not None
    return value.detach(), maps[0].grad


def _agreement(maps: list[Tensor]) -> str:
    (value, gradient), (expected, wanted) = run(inter_affinity, maps), run(full_matrix, maps)
    off = float((value - expected).abs() / expected), float((gradient - wanted).norm() / wanted.norm())
    if max(off) > 1e-4:
        raise AssertionError(f"the two forms differ by {off[0]:.1e}, their gradients by {off[1]:.1e}")
    return f"value within {off[0]:.0e}, gradient {off[1]:.0e}, relative"


def peak_mib(form: str, size: tuple[int, int]) -> int:
    """MiB that forward and backward take beside the features, in a process of its own."""
    words = [sys.executable, "-c", _MEMORY, form, *map(str, size)]
    tools = Path(__file__).parents[1]
    return int(subprocess.run(words, capture_output=True, text=True, check=True, cwd=tools).stdout)


_MEMORY = """
import sys
from pathlib import Path
sys.path.insert(0, "")
from benchmarks.affinity import features, full_matrix, inter_affinity, run
form = {"ours": inter_affinity, "full": full_matrix}[sys.argv[1]]
run(form, features((9, 8)))
maps = features((int(sys.argv[2]), int(sys.argv[3])))
def resident(key):
    return int(Path("/proc/self/status").read_text().split(key + ":")[1].split()[0])
before = resident("VmRSS")
Path("/proc/self/clear_refs").write_text("5")  # the peak starts from here; Linux alone can do this
run(form, maps)
print((resident("VmHWM") - before) // 1024)
"""
