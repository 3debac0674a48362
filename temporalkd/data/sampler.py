"""Clips for training: an anchor frame and its neighbours, a function of (seed, position) alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset
from torchvision import tv_tensors

from flow import FlowField, visible
from temporalkd.data.augment import Augment
from temporalkd.data.clip import IGNORE, Clip, Motion
from temporalkd.data.source import Source, require_size

EstimateMotion = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""Two frames (1, 3, H, W) in [0, 1] -> forward and backward flow (1, 2, H, W), e.g. FlowCache.both."""


class ClipSampler(Dataset[Clip]):
    """Clip number `position` of an endless run through all anchors, each epoch in an order of its own.

    Two frames: [anchor, neighbour], the neighbour before or after it; three: [before, anchor, after]; one: the
    anchor alone. The gap to the neighbours is drawn from `gaps`. What is drawn depends on (seed, epoch, index), so a
    position gives the same clip in any worker and on any device, and a run resumes at a position.

    Args:
        sources: footage whose labelled frames are anchors.
        unlabelled: footage of which every frame is an anchor, its labels not read.
        frames: 1, 2 or 3.
        gaps: smallest and largest distance to a neighbour, in frames.
        augment: geometry; None: none.
        motion: attach the sources' exact motion, or else that of `estimate`.
        estimate: motion of two frames where the source knows none; None: whoever needs it estimates it.
    Raises:
        ValueError: no source has an anchor with neighbours at such a gap; says which source and how long it is.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        frames: int = 2,
        gaps: tuple[int, int] = (1, 3),
        seed: int = 0,
        unlabelled: Sequence[Source] = (),
        augment: Augment | None = None,
        motion: bool = True,
        estimate: EstimateMotion | None = None,
    ):
        if frames not in (1, 2, 3):
            raise ValueError(f"frames must be 1, 2 or 3, got {frames}")
        if not 1 <= gaps[0] <= gaps[1]:
            raise ValueError(f"gaps must be two numbers 1 <= smallest <= largest, got {list(gaps)}")
        self.sources, self.length, self.gaps, self.seed = [*sources, *unlabelled], frames, gaps, seed
        self.with_labels = len(sources)
        self.augment, self.motion, self.estimate = augment, motion, estimate
        self.anchors = [
            (s, i)
            for s, source in enumerate(self.sources)
            for i in (source.labelled if s < self.with_labels else range(len(source)))
            if frames == 1 or self._choices(source, i)
        ]
        if not self.sources:
            raise ValueError("no footage to draw clips from")
        drawn = {s < self.with_labels for s, _ in self.anchors}
        for group, labelled in ((self.sources[: self.with_labels], True), (self.sources[self.with_labels :], False)):
            if group and labelled not in drawn:
                raise ValueError(self._why_empty(group, labelled))

    def _why_empty(self, group: Sequence[Source], labelled: bool) -> str:
        first = max(group, key=len)
        if labelled and not any(source.labelled for source in group):
            return f"{first.name}: no frame has labels"
        return (
            f"{first.name} has {len(first)} frame(s): too short for clips of {self.length} frames "
            f"with a gap of {self.gaps[0]} or more"
        )

    def _choices(self, source: Source, anchor: int) -> list[list[int]]:
        """All frame lists that a clip around this anchor may have."""
        last = len(source) - 1
        gaps = range(self.gaps[0], self.gaps[1] + 1)
        if self.length == 3:
            return [[anchor - g, anchor, anchor + g] for g in gaps if anchor - g >= 0 and anchor + g <= last]
        return [[anchor, k] for g in gaps for k in (anchor - g, anchor + g) if 0 <= k <= last]

    def __len__(self) -> int:
        """Clips in an epoch."""
        return len(self.anchors)

    def __getitem__(self, position: int) -> Clip:
        """Clip at that position of the run, with batch size 1."""
        epoch, index = divmod(position, len(self.anchors))
        order = np.random.default_rng((self.seed, epoch)).permutation(len(self.anchors))
        source_index, anchor = self.anchors[int(order[index])]
        source = self.sources[source_index]
        rng = np.random.default_rng((self.seed, epoch, index))
        augment_seed = int(rng.integers(2**31))  # drawn first: the crop is the same whatever the number of frames
        indices = [anchor]
        if self.length > 1:
            choices = self._choices(source, anchor)
            indices = choices[int(rng.integers(len(choices)))]
        sample = self._read(source, indices, with_labels=source_index < self.with_labels)
        if self.augment is not None:
            sample = self.augment(sample, augment_seed)
        return _to_clip(sample, indices.index(anchor))

    def _read(self, source: Source, indices: list[int], with_labels: bool) -> dict[str, Any]:
        """Frames, labels, what is made up, and motion, as tv_tensors that one transform moves together."""
        images = [source.frame(i) for i in indices]
        for index, image in zip(indices, images):
            require_size(source, index, image.shape[1:], images[0].shape[1:])
        frames = torch.stack(images)
        size = frames.shape[-2:]
        labels = [source.label(i) if with_labels else None for i in indices]
        nothing = torch.full(size, IGNORE, dtype=torch.uint8)
        sample: dict[str, Any] = {
            "frames": tv_tensors.Video(frames),
            "labels": tv_tensors.Mask(torch.stack([nothing if label is None else label for label in labels])),
            "made_up": tv_tensors.Mask(torch.zeros(len(indices), *size, dtype=torch.uint8)),
        }
        anchor = 1 if self.length == 3 else 0
        motions = []
        if self.motion:
            motions = [self._motion(source, indices[anchor], k) for k in indices if k != indices[anchor]]
        known = [m for m in motions if m is not None]
        if known and len(known) == len(motions):
            sample["flow"] = FlowField(torch.stack([m.flow for m in known]))
            sample["backward"] = FlowField(torch.stack([m.backward for m in known]))
            sample["hidden"] = tv_tensors.Mask(torch.cat([(~m.visible).to(torch.uint8) for m in known]))
        sample["labelled"] = [label is not None for label in labels]
        return sample

    def _motion(self, source: Source, anchor: int, neighbour: int) -> Motion | None:
        exact = source.motion(anchor, neighbour)
        if exact is not None or self.estimate is None:
            return exact
        a, b = (source.frame(i)[None].float() / 255 for i in (anchor, neighbour))
        forward, backward = (x.float() for x in self.estimate(a, b))
        return Motion(forward[0], backward[0], visible(forward, backward)[0])


def _to_clip(sample: dict[str, Any], anchor: int) -> Clip:
    def plain(key: str) -> Tensor | None:
        return sample[key].as_subclass(Tensor)[None] if key in sample else None

    frames, labels, made_up, hidden = (plain(k) for k in ("frames", "labels", "made_up", "hidden"))
    assert frames is not None and labels is not None and made_up is not None
    length = frames.shape[1]
    return Clip(
        frames=frames.float() / 255,
        labels=labels.long(),
        labelled=torch.tensor([sample["labelled"]]),
        valid=(made_up == 0).unsqueeze(2),
        anchor=anchor,
        pairs=[(anchor, k) for k in range(length) if k != anchor],
        flow=plain("flow"),
        backward=plain("backward"),
        visible=None if hidden is None else (hidden == 0).unsqueeze(2),
    )
