"""What one training sample is: adjacent frames, the labels that exist, and the motion between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

IGNORE = 255


class Motion(NamedTuple):
    """Motion from one frame to another, with or without a leading batch dimension.

    flow: (2, H, W) float32, pixels, this frame -> the other (dx right, dy down).
    backward: (2, H, W), the other frame -> this one.
    visible: (1, H, W) bool, the pixel of this frame is seen in the other one.
    """

    flow: Tensor
    backward: Tensor
    visible: Tensor


@dataclass
class Clip:
    """A batch of clips; every clip of a batch has the same T, anchor and pairs.

    Shape:
        frames: (B, T, 3, H, W) float32 RGB in [0, 1].
        labels: (B, T, H, W) int64, 255 where ignored; all 255 on frames without labels.
        labelled: (B, T) bool.
        valid: (B, T, 1, H, W) bool, false where augmentation padded.
        flow, backward: (B, P, 2, H, W), or None: then whoever needs the motion estimates it from the frames.
        visible: (B, P, 1, H, W) bool, or None like flow.
        targets: (B, T, C, h, w) float32, a teacher's log-probabilities, moved with the frames, or None.
        target_valid: (B, T, 1, h, w) bool, false where the teacher saw nothing.
        weak: (B, H, W) int64, the anchor's weak label, 255 where unknown; None where nobody asked for weak labels.
        pasted: (B, T, 1, H, W) bool, pixels of another clip, see `Mix`; None where nothing is pasted.
    `anchor` is the index of the labelled frame; `pairs` holds (anchor, neighbour) indices, one per flow.
    """

    frames: Tensor
    labels: Tensor
    labelled: Tensor
    valid: Tensor
    anchor: int
    pairs: list[tuple[int, int]]
    flow: Tensor | None = None
    backward: Tensor | None = None
    visible: Tensor | None = None
    weak: Tensor | None = None
    targets: Tensor | None = None
    target_valid: Tensor | None = None
    pasted: Tensor | None = None

    def to(self, device: torch.device | str) -> Clip:
        """The same clip on another device."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        moved: dict[str, Any] = {
            name: value.to(device, non_blocking=True) for name, value in values.items() if isinstance(value, Tensor)
        }
        return replace(self, **moved)


def collate(clips: Sequence[Clip]) -> Clip:
    """Join clips of batch size one into a batch.

    Raises:
        ValueError: the clips differ in layout, or only some of them carry exact motion.
    """
    first = clips[0]
    for clip in clips[1:]:
        if (clip.anchor, clip.pairs) != (first.anchor, first.pairs):
            raise ValueError(f"clips of one batch must share their layout, got {first.pairs} and {clip.pairs}")
        if (clip.flow is None) != (first.flow is None):
            raise ValueError("clips of one batch must all carry motion or none of them: do not mix exact and live flow")
        if clip.frames.shape != first.frames.shape:
            raise ValueError(
                f"clips of one batch must have one size, got {tuple(first.frames.shape[1:])} and "
                f"{tuple(clip.frames.shape[1:])}: set a crop size"
            )
    joined: dict[str, Any] = {
        f.name: torch.cat([getattr(clip, f.name) for clip in clips])
        for f in fields(first)
        if isinstance(getattr(first, f.name), Tensor)
    }
    return replace(first, **joined)


def as_clip(frames: Tensor | Clip, labels: Tensor | None = None) -> Clip:
    """A batch of anybody's making as a Clip.

    Shape:
        frames: (B, T, 3, H, W), floating point RGB in [0, 1], T of 1 to 3; a Clip stays as it is.
        labels: (B, H, W) int64 of the anchor frame (the only one of one, the first of two, the middle of three), or
            (B, T, H, W); 255 where there are none. None: no labels.
    Raises:
        ValueError: another shape or type, with what was expected.

    >>> import torch
    >>> clip = as_clip(torch.rand(2, 3, 3, 8, 8), torch.zeros(2, 8, 8, dtype=torch.long))
    >>> clip.anchor, clip.pairs, clip.labelled[0].tolist()
    (1, [(1, 0), (1, 2)], [False, True, False])
    """
    if isinstance(frames, Clip):
        return frames
    if not isinstance(frames, Tensor) or frames.ndim != 5 or frames.shape[2] != 3 or not 1 <= frames.shape[1] <= 3:
        found = tuple(frames.shape) if isinstance(frames, Tensor) else type(frames).__name__
        raise ValueError(
            f"frames: {found}, expected (B, T, 3, H, W) with T of 1 to 3; of single frames frames[:, None]"
        )
    if not frames.is_floating_point():
        raise ValueError(f"frames: {frames.dtype}, expected floating point in [0, 1]: frames.float() / 255")
    batch, length, _, height, width = frames.shape
    anchor = 1 if length == 3 else 0
    every = torch.full((batch, length, height, width), IGNORE, dtype=torch.long, device=frames.device)
    if labels is not None:
        if labels.shape == every.shape:
            every.copy_(labels)
        elif labels.shape == (batch, height, width):
            every[:, anchor] = labels
        else:
            raise ValueError(
                f"labels: {tuple(labels.shape)} for frames {tuple(frames.shape)}, expected {(batch, height, width)} of "
                f"the anchor frame (number {anchor}), or {tuple(every.shape)} with {IGNORE} where there are none"
            )
    return Clip(
        frames=frames.float(),
        labels=every,
        labelled=(every != IGNORE).flatten(2).any(2),
        valid=torch.ones(batch, length, 1, height, width, dtype=torch.bool, device=frames.device),
        anchor=anchor,
        pairs=[(anchor, k) for k in range(length) if k != anchor],
    )
