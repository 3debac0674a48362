"""Clips for training: an anchor frame and its neighbours, a function of (seed, position) alone."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset
from torchvision import tv_tensors

from flow import FlowField
from temporalkd.data.clip import IGNORE, Augment, Clip, Coordinates, identity, read_at
from temporalkd.data.label_maps import read_map
from temporalkd.data.mix import Mix
from temporalkd.data.prediction_store import Targets
from temporalkd.data.source import EstimateMotion, Source, motion_between

TURNS = 20
"""Clips after which those with and without labels are in their share."""
Anchor = tuple[int, int]
"""Number of the source, frame in it."""


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
        weak: frames whose labels are hidden are anchors too; clips carry weak labels, those with labels in this share
            of the draws. None: nothing of that.
        share: of the clips whose anchor has no label, whatever the numbers of both kinds; they take turns. None: half
            of them where `weak` is given, else every anchor is drawn once an epoch.
        mix: parts of the clips of a batch are pasted into each other.
        targets: a teacher's predictions, which clips carry; None: the teacher is run on the clip.
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
        weak: float | None = None,
        targets: Targets | None = None,
        share: float | None = None,
        mix: Mix | None = None,
    ):
        if frames not in (1, 2, 3):
            raise ValueError(f"frames must be 1, 2 or 3, got {frames}")
        if not 1 <= gaps[0] <= gaps[1]:
            raise ValueError(f"gaps must be two numbers 1 <= smallest <= largest, got {list(gaps)}")
        self.sources, self.length, self.gaps, self.seed = [*sources, *unlabelled], frames, gaps, seed
        self.with_labels = len(sources)
        self.augment, self.motion, self.estimate, self.weak = augment, motion, estimate, weak
        self.targets, self.mix = targets, mix
        self.pseudo: Path | None = None
        """Folder of labels that stand in for the weak ones of anchors without labels."""
        with_labels, without = enumerate(sources), enumerate(unlabelled, self.with_labels)
        self.labelled = self._anchors((s, i) for s, source in with_labels for i in source.labelled)
        bare = [(s, i) for s, source in without for i in range(len(source))]
        if weak is not None:
            bare = [*((s, i) for s, source in enumerate(sources) for i in source.withheld), *bare]
        self.unlabelled = self._anchors(bare)
        self.anchors = [*self.labelled, *self.unlabelled]
        self._bare = frozenset(self.unlabelled)
        self.turns = [self.anchors]
        """Groups of anchors; positions go round them, and one that stands there several times is drawn as often."""
        if self.labelled and self.unlabelled and (share is not None or weak is not None):
            part = Fraction(0.5 if share is None else share).limit_denominator(TURNS)
            ends = [i * part // 1 for i in range(part.denominator + 1)]
            self.turns = [(self.labelled, self.unlabelled)[b - a] for a, b in pairwise(ends)]
        if not self.sources:
            raise ValueError("no footage to draw clips from")
        for group, labelled, drawn in ((sources, True, self.labelled), (unlabelled, False, self.unlabelled)):
            if group and not drawn:
                raise ValueError(self._why_empty(group, labelled))

    def _anchors(self, frames: Iterable[Anchor]) -> list[Anchor]:
        """Those that have neighbours."""
        return [(s, i) for s, i in frames if self.length == 1 or self._choices(self.sources[s], i)]

    def labelled_half(self) -> ClipSampler:
        """The same of half of the labelled anchors alone: what is fitted on it has not seen the other half."""
        order = np.random.default_rng((self.seed, 11)).permutation(len(self.labelled))
        half = copy.copy(self)
        half.turns = [[self.labelled[i] for i in sorted(order[: (len(order) + 1) // 2])]]
        return half

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

    @property
    def frame_size(self) -> tuple[int, int]:
        """(H, W) of the first source's frames, before augmentation."""
        height, width = self.sources[0].frame(0).shape[-2:]
        return height, width

    def __len__(self) -> int:
        """Clips in an epoch."""
        return len(self.anchors)

    def __getitem__(self, position: int) -> Clip:
        """Clip at that position of the run, with batch size 1."""
        turned, turn = divmod(position, len(self.turns))
        anchors = self.turns[turn]
        alike = [number for number, group in enumerate(self.turns) if group is anchors]
        epoch, index = divmod(turned * len(alike) + alike.index(turn), len(anchors))
        turn = alike[0]
        key = (self.seed, epoch, turn << 32) if turn else (self.seed, epoch)
        number, anchor = anchors[int(np.random.default_rng(key).permutation(len(anchors))[index])]
        source = self.sources[number]
        rng = np.random.default_rng((*key, index))
        augment_seed = int(rng.integers(2**31))  # drawn first: the crop is the same whatever the number of frames
        indices = [anchor]
        if self.length > 1:
            choices = self._choices(source, anchor)
            indices = choices[int(rng.integers(len(choices)))]
        sample = self._read(number, indices, anchor, with_labels=(number, anchor) not in self._bare)
        if self.weak is not None:
            shown = (number, anchor) in self._bare or rng.random() < self.weak
            sample["weak"] = self._weak(number, anchor, sample["frames"].shape[-2:], shown)
        if self.augment is not None:
            sample = self.augment(sample, augment_seed)
        return _to_clip(sample, indices.index(anchor))

    def __getitems__(self, positions: Sequence[int]) -> list[Clip]:
        """The clips of a batch, which a DataLoader asks for."""
        clips = [self[position] for position in positions]
        return clips if self.mix is None else self.mix(clips, [(self.seed, position, 13) for position in positions])

    def whole(self, anchor: Anchor) -> Clip:
        """The anchor's frame alone, as it is, without its label; with its weak one where clips carry such."""
        number, index = anchor
        sample = self._read(number, [index], index, with_labels=False)
        if self.weak is not None:
            sample["weak"] = self._weak(number, index, sample["frames"].shape[-2:])
        return _to_clip(sample, 0)

    def _weak(self, number: int, anchor: int, size: Sequence[int], shown: bool = True) -> tv_tensors.Mask:
        """(1, H, W), the weak label of a frame."""
        label = None
        if self.pseudo is not None and (number, anchor) in self._bare:
            label = read_map(self.pseudo / file_name((number, anchor)))
        elif shown:
            label = self.sources[number].weak(anchor)
        unknown = torch.full((size[0], size[1]), IGNORE, dtype=torch.uint8)
        return tv_tensors.Mask((unknown if label is None else label)[None])

    def _read(self, number: int, indices: list[int], anchor: int, with_labels: bool) -> dict[str, Any]:
        """Frames, labels, what is made up, and motion, as tv_tensors that one transform moves together."""
        source = self.sources[number]
        frames = source.clip(indices)
        size = frames.shape[-2:]
        labels = [source.label(i) if with_labels else None for i in indices]
        nothing = torch.full(size, IGNORE, dtype=torch.uint8)
        sample: dict[str, Any] = {
            "frames": tv_tensors.Video(frames),
            "labels": tv_tensors.Mask(torch.stack([nothing if label is None else label for label in labels])),
            "made_up": tv_tensors.Mask(torch.zeros(len(indices), *size, dtype=torch.uint8)),
        }
        others = [k for k in indices if k != anchor] if self.motion else []
        read = dict(zip(indices, frames)).__getitem__
        motions = [motion_between(source, anchor, k, self.estimate, read) for k in others]
        known = [m for m in motions if m is not None]
        if known and len(known) == len(motions):
            sample["flow"] = FlowField(torch.stack([m.flow for m in known]))
            sample["backward"] = FlowField(torch.stack([m.backward for m in known]))
            sample["hidden"] = tv_tensors.Mask(torch.cat([(~m.visible).to(torch.uint8) for m in known]))
        sample["labelled"] = [label is not None for label in labels]
        if self.targets is not None:
            made_of = [source.origin(i) for i in indices]
            whole = identity(*size)
            sample["coordinates"] = Coordinates(torch.stack([whole if w is None else w for _, _, w in made_of]))
            sample["targets"] = _Stored(
                [self.targets(s, i, f if w is None else None) for (s, i, w), f in zip(made_of, frames)],
                (size[0], size[1]),
            )
        return sample


def file_name(anchor: Anchor) -> str:
    """The file of an anchor's label."""
    return f"{anchor[0]:05d}_{anchor[1]:06d}.png"


@dataclass
class _Stored:
    """Log-probabilities (C, h, w) of whole frames of one size; not a tensor, so that no transform touches them."""

    log_probs: list[Tensor]
    size: tuple[int, int]


def _to_clip(sample: dict[str, Any], anchor: int) -> Clip:
    def plain(key: str) -> Tensor | None:
        return sample[key].as_subclass(Tensor)[None] if key in sample else None

    frames, labels, made_up, hidden, weak = (plain(k) for k in ("frames", "labels", "made_up", "hidden", "weak"))
    assert frames is not None and labels is not None and made_up is not None
    length = frames.shape[1]
    clip = Clip(
        frames=frames.float() / 255,
        labels=labels.long(),
        labelled=torch.tensor([sample["labelled"]]),
        valid=(made_up == 0).unsqueeze(2),
        anchor=anchor,
        pairs=[(anchor, k) for k in range(length) if k != anchor],
        flow=plain("flow"),
        backward=plain("backward"),
        visible=None if hidden is None else (hidden == 0).unsqueeze(2),
        weak=None if weak is None else weak[:, 0].long(),
    )
    if "targets" not in sample:
        return clip
    stored, where = sample["targets"], sample["coordinates"].as_subclass(Tensor)
    moved = [read_at(log_probs, stored.size, at) for log_probs, at in zip(stored.log_probs, where)]
    targets, valid = (torch.stack(part)[None] for part in zip(*moved))
    return replace(clip, targets=targets, target_valid=valid)
