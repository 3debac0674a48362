"""Footage of which few frames keep their labels: the others' are hidden, and some show a weak label instead."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import torch
from torch import Tensor

from flow import warp
from temporalkd.data.clip import IGNORE, Motion
from temporalkd.data.source import EstimateMotion, Source, motion_between

Weak = Literal["none", "coarse", "flow"]


class PartlyLabelled(Source):
    """A source some of whose labels are kept and the others hidden.

    Args:
        kept: labelled frames that stay so.
        shown: of the others, those that have a weak label.
        weak: what that is: "coarse", see `coarsened`; "flow", the label of the nearest other kept frame, carried along
            the motion, 255 where not visible; "none".
        margin: of coarse labels, pixels; None: a fortieth of the height.
        estimate: motion of two frames where the source knows none.
    """

    def __init__(
        self,
        source: Source,
        kept: Collection[int],
        shown: Collection[int] = (),
        weak: Weak = "none",
        margin: int | None = None,
        estimate: EstimateMotion | None = None,
    ):
        self.source, self.name, self.fps = source, source.name, source.fps
        self.kept, self.shown = frozenset(kept), frozenset(shown)
        self.kind, self.margin, self.estimate = weak, margin, estimate

    def __len__(self) -> int:
        return len(self.source)

    def describe(self, index: int) -> str:
        """As the source itself says it."""
        return self.source.describe(index)

    def files(self, index: int) -> list[Path]:
        """The source's own."""
        return self.source.files(index)

    def frame(self, index: int) -> Tensor:
        """(3, H, W) uint8 RGB."""
        return self.source.frame(index)

    def motion(self, source: int, target: int) -> Motion | None:
        """The source's own."""
        return self.source.motion(source, target)

    @property
    def knows_motion(self) -> bool:
        """As the source."""
        return self.source.knows_motion

    def origin(self, index: int) -> tuple[Source, int, Tensor | None]:
        """The source's own."""
        return self.source.origin(index)

    @property
    def labelled(self) -> list[int]:
        """The frames that kept their labels."""
        return sorted(self.kept)

    def label(self, index: int) -> Tensor | None:
        """None where the label is hidden."""
        return self.source.label(index) if index in self.kept else None

    @property
    def withheld(self) -> list[int]:
        """The frames whose labels are hidden."""
        return [i for i in self.source.labelled if i not in self.kept]

    def hidden_label(self, index: int) -> Tensor | None:
        """The label that nobody trains on."""
        return None if index in self.kept else self.source.label(index)

    def weak(self, index: int) -> Tensor | None:
        """A label that is right where it is known, or nearly so, and 255 elsewhere; None where there is none."""
        if self.kind == "none" or not (index in self.kept or index in self.shown):
            return None
        if self.kind == "flow":
            return self._carried(index)
        label = self.source.label(index)
        return None if label is None else coarsened(label, self.margin)

    def _carried(self, index: int) -> Tensor | None:
        others = [k for k in self.kept if k != index]
        if not others:
            return None
        nearest = min(others, key=lambda k: (abs(k - index), k))
        label, motion = self.source.label(nearest), motion_between(self.source, index, nearest, self.estimate)
        if label is None or motion is None:
            return None
        carried = warp(label[None, None], motion.flow[None], mode="nearest")[0, 0]
        return torch.where(motion.visible[0], carried, IGNORE)


def coarsened(label: Tensor, margin: int | None = None) -> Tensor:
    """What is left of a label that was drawn in a hurry: right where it is known, 255 near every boundary.

    A pixel stays where the (2 margin + 1)^2 square around it holds its class alone; objects thinner than that vanish.

    Shape:
        label: (H, W) uint8, 255 where ignored.
    Args:
        margin: pixels; None: a fortieth of the height, at least one.
    Source:
        After the coarse annotations of Cityscapes (Cordts et al., CVPR 2016): polygons that keep away from boundaries
        [text]; the square [ours].
    """
    margin = max(1, label.shape[0] // 40) if margin is None else margin
    values, square = label.numpy(), np.ones((2 * margin + 1, 2 * margin + 1), np.uint8)
    alone = cv2.erode(values, square) == cv2.dilate(values, square)
    return torch.from_numpy(np.where(alone, values, IGNORE).astype(np.uint8))


def hide_labels(
    sources: Sequence[Source],
    labelled: float = 0.25,
    weak: Weak = "coarse",
    share: float = 1 / 3,
    margin: int | None = None,
    seed: int = 0,
    estimate: EstimateMotion | None = None,
) -> list[PartlyLabelled]:
    """Keep the labels of a share of the labelled frames, hide the others', and show weak labels for a share of those.

    The labelled frames of all sources in turn are put in the order of default_rng((seed, 7)).permutation; the first
    round(labelled * n) keep their labels, and of the m others the first round(share * m) show a weak one. So a smaller
    share is always a part of a larger one.

    Raises:
        ValueError: no frame would keep its label, or labels are to be carried where nothing can carry them.
    """
    frames = [(s, i) for s, source in enumerate(sources) for i in source.labelled]
    order = [frames[k] for k in np.random.default_rng((seed, 7)).permutation(len(frames))]
    count = round(labelled * len(frames))
    if count == 0:
        raise ValueError(f"data.semi.labelled is {labelled}: none of {len(frames)} labelled frames is left, raise it")
    kept, hidden = order[:count], order[count:]
    shown = hidden[: round(share * len(hidden))]

    def of(chosen: list[tuple[int, int]], s: int) -> list[int]:
        return [i for number, i in chosen if number == s]

    made = [PartlyLabelled(x, of(kept, s), of(shown, s), weak, margin, estimate) for s, x in enumerate(sources)]
    if weak == "flow":
        _require_motion(made)
    return made


def _require_motion(sources: Sequence[PartlyLabelled]) -> None:
    """Refuse carried labels where no scene has two frames, one labelled, or nobody knows the motion."""
    pairs = ((x, x.labelled[0], i) for x in sources if x.kept for i in x.withheld)
    source, kept, other = next(pairs, (None, 0, 0))
    if source is None:
        raise ValueError(
            f"data.semi.weak is flow, but no scene has a labelled and a hidden frame ({len(sources)} scenes, the first "
            f"is {sources[0].name}): between stills nothing moves, set it to coarse or none"
        )
    if motion_between(source.source, other, kept, source.estimate) is None:
        raise ValueError(
            f"data.semi.weak is flow, but the motion of {source.name} is not known: set flow.cached to true, or weak "
            "to coarse or none"
        )
