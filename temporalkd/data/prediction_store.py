"""A store of a teacher's predictions: computed once for each frame, and moved with it by augmentation."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from flow import in_frame, resize_flow, warp
from flow.store import Store
from temporalkd.data.clip import SMALLEST
from temporalkd.data.source import EstimateMotion, Source, motion_between

Predict = Callable[[Tensor], Tensor]
"""A frame (1, 3, H, W) in [0, 1] -> probabilities (1, C, h, w), at any resolution."""
KEPT = "log_probs"


class Targets(Protocol):
    """What clips get their targets from."""

    def __call__(self, source: Source, index: int, pixels: Tensor | None = None) -> Tensor:
        """(C, h, w) float32 log-probabilities of that frame; `pixels` where it has been decoded already."""


class PredictionStore:
    """A teacher's log-probabilities on disk, found again by the content of the frame.

    The key is the teacher's fingerprint and the frame's pixels as 8-bit values. They are kept as float16, no
    probability below 1e-5, and a miss returns the rounded values too, so that a run does not depend on what was stored
    before it. A temperature is applied by the loss, after all else.

    Args:
        store: bounded, and safe for several processes on one folder.
        predict: the frozen teacher.
        fingerprint: of the teacher: equal only where its predictions are.
    Attributes:
        hits, misses: predictions from disk and computed, by this object.
    """

    def __init__(self, store: Store, predict: Predict, fingerprint: str):
        self.store, self.predict, self.fingerprint = store, predict, fingerprint
        self.hits = self.misses = 0

    def __call__(self, source: Source, index: int, pixels: Tensor | None = None) -> Tensor:
        """(C, h, w) float32 log-probabilities of a source's frame."""
        pixels = source.frame(index) if pixels is None else pixels
        identity = self.identity(pixels)
        found = self._load(identity)
        if found is None:
            with self.store.claim(identity):  # another process may be at it
                return self.kept(identity, lambda: self.predict(pixels[None].float() / 255))
        self.hits += 1
        return found

    def identity(self, pixels: Tensor) -> str:
        """Of a frame (3, H, W) uint8: what its prediction is found by."""
        content = hashlib.blake2b(pixels.contiguous().numpy().tobytes(), digest_size=32).hexdigest()
        return f"prediction of up to 2^18 cells {self.fingerprint} {content} {tuple(pixels.shape)}"

    def kept(self, identity: str, compute: Callable[[], Tensor]) -> Tensor:
        """(C, h, w) log-probabilities, from disk or of the probabilities (1, C, h, w) that are computed."""
        found = self._load(identity)
        if found is not None:
            self.hits += 1
            return found
        self.misses += 1
        with torch.no_grad():
            rounded = compute().float().cpu().clamp(min=SMALLEST).log().half()
        self.store.save(identity, {KEPT: rounded})
        return rounded[0].float().log_softmax(0)

    def _load(self, identity: str) -> Tensor | None:
        found = self.store.load(identity, {KEPT: ((1, None, None, None), torch.float16)})
        return found[KEPT][0].float().log_softmax(0) if found else None


class FlowAveragedStore:
    """A store's predictions, each averaged with those of the frames before and after it, along the motion.

    q_t = (p_t + sum_k V_k W(p_k)) / (1 + sum_k V_k), k = t - 1, t + 1, V_k the pixels visible in frame k. A second pass
    averages what the first gives, and reaches two frames in each direction. Averages are kept beside the predictions.

    Args:
        base: of the predictions.
        estimate: motion of two frames, where the source knows none.
        flow: the estimator's fingerprint.
        passes: how often it is averaged; 0: not at all.
    Source:
        losses.flow_averaged_teacher, of both neighbours at once.
    """

    def __init__(self, base: PredictionStore, estimate: EstimateMotion, flow: str, passes: int = 1):
        self.base, self.estimate, self.flow, self.passes = base, estimate, flow, passes

    def __call__(self, source: Source, index: int, pixels: Tensor | None = None) -> Tensor:
        """(C, h, w) float32 log-probabilities of a source's frame."""
        return self._average(source, index, self.passes)

    def _average(self, source: Source, index: int, passes: int) -> Tensor:
        if passes == 0:
            return self.base(source, index)
        reach = range(max(index - passes, 0), min(index + passes + 1, len(source)))
        frames = " ".join(f"{i - index} {self.base.identity(source.frame(i))}" for i in reach)
        identity = f"averaged {passes} {self.flow} {frames}"
        return self.base.kept(identity, lambda: self._along(source, index, passes)[None])

    def _along(self, source: Source, index: int, passes: int) -> Tensor:
        """(C, h, w), probabilities."""
        total = self._average(source, index, passes - 1).exp()
        count = torch.ones_like(total[:1])
        size = (total.shape[1], total.shape[2])
        for other in (index - 1, index + 1):
            motion = motion_between(source, index, other, self.estimate) if 0 <= other < len(source) else None
            if motion is not None:
                flow = resize_flow(motion.flow[None], size)
                seen = F.interpolate(motion.visible[None].float(), size, mode="nearest-exact").bool() & in_frame(flow)
                probs = warp(self._average(source, other, passes - 1).exp()[None], flow)
                total, count = total + probs[0] * seen[0], count + seen[0]
        return total / count


def frames_of(sources: Iterable[Source]) -> list[tuple[Source, int]]:
    """The frames that the sources' frames are made of, each once."""
    frames: dict[tuple[int, int], tuple[Source, int]] = {}
    for source in sources:
        for index in range(len(source)):
            origin, number, _ = source.origin(index)
            frames.setdefault((id(origin), number), (origin, number))
    return list(frames.values())


def fill(targets: Targets, sources: Iterable[Source], progress: Callable[[int, int], None] | None = None) -> None:
    """Compute the targets of all frames that are not stored yet, each frame once."""
    frames = frames_of(sources)
    for done, (source, index) in enumerate(frames, start=1):
        targets(source, index)
        if progress:
            progress(done, len(frames))


class Uniform:
    """Targets that say nothing, of the same number of pixels a cell as a given one.

    Args:
        like: (C, h, w), the target of a frame.
        size: (height, width) of that frame.
    """

    def __init__(self, like: Tensor, size: tuple[int, int]):
        self._classes = like.shape[0]
        self._strides = [round(side / kept) for side, kept in zip(size, like.shape[1:])]
        self._sizes: dict[tuple[int, int], tuple[int, ...]] = {}

    def __call__(self, source: Source, index: int, pixels: Tensor | None = None) -> Tensor:
        """(C, h, w) float32 log-probabilities."""
        key = (id(source), index)
        if key not in self._sizes:
            self._sizes[key] = tuple((source.frame(index) if pixels is None else pixels).shape[-2:])
        size = [-(-side // stride) for side, stride in zip(self._sizes[key], self._strides)]
        return torch.zeros(self._classes, *size).log_softmax(0)


class Routed:
    """Targets of several kinds: each frame has those of the first group that the source it is made of belongs to.

    Args:
        groups: (sources, one at least; their targets).
        others: any other frame has uniform targets at no cost, which nobody is to read.
    """

    def __init__(self, *groups: tuple[Sequence[Source], Targets], others: bool = False):
        self.others = others
        self._of: dict[Source, Targets] = {}
        for sources, targets in groups:
            for origin, _ in frames_of(sources):
                self._of.setdefault(origin, targets)
        self._uniform: Uniform | None = None

    def __call__(self, source: Source, index: int, pixels: Tensor | None = None) -> Tensor:
        """(C, h, w) float32 log-probabilities of a source's frame."""
        if source in self._of:
            return self._of[source](source, index, pixels)
        if not self.others:
            raise ValueError(f"{source.describe(index)}: no targets are known for it")
        if self._uniform is None:
            origin, targets = next(iter(self._of.items()))
            first = origin.frame(0)
            self._uniform = Uniform(targets(origin, 0, first), (first.shape[1], first.shape[2]))
        return self._uniform(source, index, pixels)
