"""Parts of one clip pasted into another: frames, labels, motion, visibility and teacher's predictions alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from flow import in_frame, warp
from temporalkd.data.clip import IGNORE, Clip

AREA = (0.1, 0.5)
"""Of the rectangle, as a share of the frame."""


@dataclass(frozen=True)
class Mix:
    """Into a clip of a batch, a part of the next one is pasted.

    Args:
        kind: "cutmix": a rectangle, at the same place in all frames. "classmix": half of the classes of the other
            clip's anchor, moved by that clip's own motion; they are those of its label, else of the stored teacher's
            prediction, and where there is neither the clip stays as it is.
        share: of the clips.
    Source:
        Yun et al., ICCV 2019 (CutMix); French et al., BMVC 2020, for segmentation; Olsson et al., WACV 2021 (ClassMix).
        The motion of what is pasted [ours].
    """

    kind: Literal["cutmix", "classmix"] = "cutmix"
    share: float = 0.5

    def __call__(self, clips: Sequence[Clip], seeds: Sequence[Sequence[int]]) -> list[Clip]:
        """The clips of a batch, of batch size one each, as functions of their seeds; all carry `pasted`.

        Raises:
            ValueError: classes are to be moved, and the clips carry no motion.
        """
        found = []
        for number, (clip, seed) in enumerate(zip(clips, seeds, strict=True)):
            rng, other = np.random.default_rng(seed), clips[(number + 1) % len(clips)]
            mask = None
            if rng.random() < self.share and other is not clip:
                mask = _rectangle(other, rng) if self.kind == "cutmix" else _classes(other, rng)
            found.append(paste(clip, other, torch.zeros_like(clip.valid) if mask is None else mask))
        return found


def paste(clip: Clip, other: Clip, mask: Tensor) -> Clip:
    """The clip, with the other one where the mask is true.

    A pixel is visible in another frame only where both are of the same clip. A prediction of the teacher whose cell
    holds both is not valid.

    Shape:
        mask: (B, T, 1, H, W) bool.
    """
    whole = mask[:, :, 0]
    pasted: dict[str, Any] = {
        "frames": torch.where(mask, other.frames, clip.frames),
        "labels": torch.where(whole, other.labels, clip.labels),
        "valid": torch.where(mask, other.valid, clip.valid),
        "labelled": clip.labelled | (other.labelled & whole.flatten(2).any(2)),
        "pasted": mask,
    }
    if clip.weak is not None and other.weak is not None:
        pasted["weak"] = torch.where(whole[:, clip.anchor], other.weak, clip.weak)
    if clip.flow is not None and other.flow is not None:
        assert clip.backward is not None and other.backward is not None
        anchor = mask[:, [t for t, _ in clip.pairs]]
        there = mask[:, [k for _, k in clip.pairs]]
        pasted["flow"] = torch.where(anchor, other.flow, clip.flow)
        pasted["backward"] = torch.where(there, other.backward, clip.backward)
        if clip.visible is not None and other.visible is not None:
            seen = torch.where(anchor, other.visible, clip.visible)
            moved = warp(there.flatten(0, 1), pasted["flow"].flatten(0, 1), mode="nearest").view_as(there)
            pasted["visible"] = seen & (moved == anchor)
    if clip.targets is not None and other.targets is not None:
        assert clip.target_valid is not None and other.target_valid is not None
        part = F.interpolate(mask.flatten(0, 1).float(), clip.targets.shape[-2:], mode="area")
        part = part.view(clip.target_valid.shape)
        pasted["targets"] = torch.where(part > 0.5, other.targets, clip.targets)
        valid = torch.where(part > 0.5, other.target_valid, clip.target_valid)
        pasted["target_valid"] = valid & ((part == 0) | (part == 1))
    return replace(clip, **pasted)


def _rectangle(clip: Clip, rng: np.random.Generator) -> Tensor:
    """(1, T, 1, H, W) bool."""
    height, width = clip.frames.shape[-2:]
    area, stretch = rng.uniform(*AREA), float(np.exp(rng.uniform(-0.5, 0.5)))
    tall, wide = (
        min(side, max(1, round(side * area**0.5 * factor)))
        for side, factor in ((height, stretch), (width, 1 / stretch))
    )
    top, left = int(rng.integers(height - tall + 1)), int(rng.integers(width - wide + 1))
    mask = torch.zeros_like(clip.valid)
    mask[..., top : top + tall, left : left + wide] = True
    return mask


def _classes(clip: Clip, rng: np.random.Generator) -> Tensor | None:
    """(1, T, 1, H, W) bool, half of the classes; None where none is known."""
    classes = clip.labels[:, clip.anchor]
    if not bool((classes != IGNORE).any()) and clip.targets is not None:
        size = clip.frames.shape[-2:]
        classes = F.interpolate(clip.targets[:, clip.anchor], size, mode="bilinear", align_corners=False).argmax(1)
    known = [number for number in classes.unique().tolist() if number != IGNORE]
    if not known:
        return None
    chosen = rng.permutation(known)[: (len(known) + 1) // 2]
    mask = torch.zeros_like(clip.valid)
    anchor = torch.isin(classes, torch.as_tensor(chosen)).unsqueeze(1)
    mask[:, clip.anchor] = anchor
    for pair, (_, k) in enumerate(clip.pairs):
        if clip.backward is None:
            raise ValueError(
                "data.mix: classmix moves classes along the motion, and the clips carry none: set flow.cached, or kind "
                "to cutmix"
            )
        back = clip.backward[:, pair]
        mask[:, k] = warp(anchor, back, mode="nearest") & in_frame(back)
    return mask & clip.valid
