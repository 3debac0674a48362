"""One training step's view of a clip: every quantity is computed once, on first use."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from flow import FlowEstimator, in_frame, resize_flow, warp
from flow import visible as forward_backward_check
from temporalkd.data.clip import Clip
from temporalkd.models import Prediction, Segmenter

Size = Sequence[int]
"""(height, width)"""


class ClipPrediction:
    """A prediction of all frames of a clip, read frame by frame."""

    def __init__(self, prediction: Prediction, length: int):
        self.prediction, self.length = prediction, length

    def _at(self, x: Tensor, t: int) -> Tensor:
        return rearrange(x, "(b t) c h w -> t b c h w", t=self.length)[t]

    def logits(self, t: int) -> Tensor:
        """(B, C, H, W), logits of frame t at input size."""
        return self._at(self.prediction.logits, t)

    def aux(self, t: int) -> Tensor | None:
        """(B, C, H, W), logits of the auxiliary head, or None."""
        return None if self.prediction.aux is None else self._at(self.prediction.aux, t)

    def native(self, t: int) -> Tensor:
        """(B, C, h, w), logits of frame t at the network's stride."""
        return self._at(self.prediction.native, t)

    def probs(self, t: int) -> Tensor:
        """(B, C, h, w), class probabilities of frame t at the network's stride, float32 or better."""
        logits = self.native(t)
        return logits.softmax(1, dtype=torch.promote_types(logits.dtype, torch.float32))

    def feature(self, role: str, t: int) -> Tensor:
        """(B, c, h, w), the feature of that role; "logits" names the native logits.

        Raises:
            ValueError: the network has no such role, or it is a list of features.
        """
        if role == "logits":
            return self.native(t)
        feature = self.prediction.features.get(role)
        if not isinstance(feature, Tensor):
            known = ", ".join(["logits", *(r for r, f in self.prediction.features.items() if isinstance(f, Tensor))])
            raise ValueError(f"the network has no single feature of role {role!r}, it has: {known}")
        return self._at(feature, t)


class PairMotion(NamedTuple):
    """Flow (B, 2, h, w) from the anchor to a neighbour, and the pixels (B, 1, h, w) that are visible in it."""

    flow: Tensor
    visible: Tensor


class Step:
    """A clip with what the student, the teacher and the flow network say of it.

    Terms read it; the teacher runs, and the flow is estimated, only when the first term asks.
    """

    def __init__(
        self,
        clip: Clip,
        teacher: Segmenter | None = None,
        estimator: FlowEstimator | None = None,
        frames: Tensor | None = None,
        progress: float = 0.0,
    ):
        """
        Args:
            clip: frames before colour jitter; the flow is estimated on them.
            frames: (B, T, 3, H, W), what the networks see; None: the clip's own.
            progress: share of the training that is done, 0..1.
        """
        self.clip = clip
        self.frames = clip.frames if frames is None else frames
        self.progress = progress
        self.student: ClipPrediction
        self._teacher, self._estimator = teacher, estimator
        self._motions: dict[tuple[int, int, int], PairMotion] = {}

    def predict(self, student: nn.Module) -> None:
        """Run the student on all B * T frames in one forward."""
        self.student = self._run(student)

    def _run(self, network: nn.Module) -> ClipPrediction:
        return ClipPrediction(network(rearrange(self.frames, "b t c h w -> (b t) c h w")), self.frames.shape[1])

    @cached_property
    def teacher(self) -> ClipPrediction:
        """The frozen teacher's prediction of the same frames."""
        if self._teacher is None:
            raise ValueError("this method distils from a teacher, and none is configured: set teacher.weights")
        with torch.no_grad():
            return self._run(self._teacher)

    @property
    def neighbours(self) -> list[int]:
        """Indices of the frames that are not the anchor."""
        return [t for t in range(self.frames.shape[1]) if t != self.clip.anchor]

    def valid(self, t: int, size: Size) -> Tensor:
        """(B, 1, h, w) bool, the pixels of frame t that augmentation did not make up."""
        return _resize_mask(self.clip.valid[:, t], size)

    def motion(self, pair: int, size: Size) -> PairMotion:
        """Motion of a pair of frames in pixels of that resolution."""
        height, width = size
        key = (pair, height, width)
        if key not in self._motions:
            flow, visible = self._full_motions[pair]
            small = resize_flow(flow, (height, width))
            self._motions[key] = PairMotion(small, _resize_mask(visible, size) & in_frame(small))
        return self._motions[key]

    @cached_property
    @torch.no_grad()
    def _full_motions(self) -> list[PairMotion]:
        clip, motions = self.clip, []
        for p, (anchor, neighbour) in enumerate(clip.pairs):
            if clip.flow is not None and clip.backward is not None:
                flow, backward = clip.flow[:, p], clip.backward[:, p]
            else:
                if self._estimator is None:
                    raise ValueError(
                        "this method needs motion, the data carries none, and no flow estimator is configured: set flow"
                    )
                flow = self._estimator(clip.frames[:, anchor], clip.frames[:, neighbour])
                backward = self._estimator(clip.frames[:, neighbour], clip.frames[:, anchor])
            seen = forward_backward_check(flow, backward) if clip.visible is None else clip.visible[:, p]
            real = clip.valid[:, anchor] & warp(clip.valid[:, neighbour], flow, mode="nearest")
            motions.append(PairMotion(flow, seen & real & in_frame(flow)))
        return motions


def _resize_mask(mask: Tensor, size: Size) -> Tensor:
    height, width = size
    if mask.shape[-2:] == (height, width):
        return mask
    return F.interpolate(mask.float(), (height, width), mode="nearest-exact").bool()
