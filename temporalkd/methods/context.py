"""What losses see of a clip: every quantity is computed once, on first use."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from copy import copy
from dataclasses import replace
from typing import NamedTuple, TypeVar, cast

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from flow import FlowEstimator, in_frame, resize_flow, warp
from flow import visible as forward_backward_check
from temporalkd import losses
from temporalkd.data.clip import IGNORE, Clip
from temporalkd.models import Prediction, Segmenter, SharedDropout

T = TypeVar("T")
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
        found = self.features(role, t)
        if role != "logits" and not isinstance(self.prediction.features[role], Tensor):
            raise ValueError(f"the network has no single feature of role {role!r}{self._known(single=True)}")
        return found[0]

    def features(self, role: str, t: int) -> list[Tensor]:
        """(B, c, h, w) of each layer of the role, shallow to deep: of "low" several, of any other one.

        Raises:
            ValueError: the network has no such role.
        """
        if role == "logits":
            return [self.native(t)]
        found = self.prediction.features.get(role)
        if found is None:
            raise ValueError(f"the network has no feature of role {role!r}{self._known()}")
        return [self._at(feature, t) for feature in ([found] if isinstance(found, Tensor) else found)]

    def branch(self, name: str) -> ClipPrediction:
        """What one network of a joint teacher says alone; "" for what they say together.

        A single network is its own "first" branch.
        """
        branches = self.prediction.branches
        return ClipPrediction(branches[name], self.length) if name and branches else self

    def share(self, name: str) -> float | Tensor:
        """How much one network of a joint teacher counts in what they say together, mean over the pixels; alone, 1."""
        shares = self.prediction.shares
        return shares[name].mean() if name and shares else 1.0

    def _known(self, single: bool = False) -> str:
        roles = self.prediction.features.items()
        return ", it has: " + ", ".join(["logits", *(r for r, f in roles if not single or isinstance(f, Tensor))])


class PairMotion(NamedTuple):
    """Flow (B, 2, h, w) from the anchor to a neighbour, and the pixels (B, 1, h, w) that are visible in it."""

    flow: Tensor
    visible: Tensor


class DistillationContext:
    """A clip with the predictions of the student and the teacher, and the motion between its frames.

    Losses read it. The teacher runs, and the flow is estimated, when the first loss asks. Of several students each has
    its own view (see `views`); the views share the teacher's prediction and the motion.
    """

    def __init__(
        self,
        clip: Clip,
        teacher: nn.Module | None = None,
        estimator: FlowEstimator | None = None,
        frames: Tensor | None = None,
        progress: float = 0.0,
        flow_averaged_teacher: bool = False,
        all_sum: losses.AllSum = losses.local_sum,
        averages: Sequence[Segmenter] = (),
        for_teacher: Tensor | None = None,
    ):
        """
        Args:
            clip: frames before colour jitter; the flow is estimated on them.
            frames: (B, T, 3, H, W), what the networks see; None: the clip's own.
            progress: share of the training that is done, 0..1.
            all_sum: sums over the processes of a training, for the means of losses.
            for_teacher: (B, T, 3, H, W), what a teacher that is run sees; None: the same.
            flow_averaged_teacher: average the teacher's predictions along the motion, see the loss of that name.
            averages: of each student, the network with the moving average of its weights.
        """
        self.clip, self.all_sum = clip, all_sum
        self.frames = clip.frames if frames is None else frames
        self.for_teacher = self.frames if for_teacher is None else for_teacher
        self.progress, self.flow_averaged_teacher = progress, flow_averaged_teacher
        self.students: list[ClipPrediction] = []
        self.averages = averages
        self.number = 0
        """Of the student that this view is for."""
        self._teacher, self._estimator = teacher, estimator
        self._memo: dict[Hashable, object] = {}

    @property
    def student(self) -> ClipPrediction:
        """The prediction of the student that this view is for."""
        return self.students[self.number]

    def predict(self, *students: nn.Module) -> None:
        """Run the students on all B * T frames, each in one forward."""
        self.students = [self.ask(student, self.frames) for student in students]

    def views(self) -> list[DistillationContext]:
        """This context for each student; what is computed once (see `memoize`) is shared."""
        found = [copy(self) for _ in self.students]
        for number, view in enumerate(found):
            view.number = number
        return found

    def ask_teacher(self) -> None:
        """Run the teacher now: what it holds meanwhile is given back before the students keep theirs for a gradient."""
        _ = self.teacher

    def ask(self, network: nn.Module, frames: Tensor) -> ClipPrediction:
        """What a network says of frames (B, T, 3, H, W), in one forward.

        What is dropped is the same in all frames of a clip.
        """
        clips, length = frames.shape[:2]
        with SharedDropout(clips, length) if network.training and length > 1 else nullcontext():
            said = network(rearrange(frames, "b t c h w -> (b t) c h w"))
        if self.clip.targets is not None:  # read where the targets lie, however the network enlarges its logits
            size = self.clip.targets.shape[-2:]
            said = replace(said, native=F.interpolate(said.logits, size, mode="bilinear", align_corners=False))
        return ClipPrediction(said, length)

    @property
    def teacher(self) -> ClipPrediction:
        """The frozen teacher's prediction of the same frames."""
        return self.memoize("teacher", self._teach)

    def _teach(self) -> ClipPrediction:
        if self._teacher is None:
            raise ValueError("this method distils from a teacher, and none is configured: set teacher.weights")
        with torch.no_grad():
            said = (
                self.ask(self._teacher, self.for_teacher)
                if self.clip.targets is None
                else self._stored(self.clip.targets)
            )
            return self._averaged(said) if self.flow_averaged_teacher else said

    def _stored(self, targets: Tensor) -> ClipPrediction:
        """What the clip carries of the teacher."""
        native = rearrange(targets, "b t c h w -> (b t) c h w")
        logits = F.interpolate(native, self.frames.shape[-2:], mode="bilinear", align_corners=False)
        return ClipPrediction(Prediction(logits, native, native), targets.shape[1])

    @torch.no_grad()
    def flow_averaged(self, branch: str = "") -> ClipPrediction:
        """The teacher's prediction, or one branch's, averaged along the motion; see losses.flow_averaged_teacher."""
        if self.flow_averaged_teacher and not branch:
            return self.teacher
        return self.memoize(("average", branch), lambda: self._averaged(self.teacher.branch(branch)))

    def _averaged(self, said: ClipPrediction) -> ClipPrediction:
        """Each frame's native logits averaged with those of the frames that its motion is known to."""
        size = (said.native(0).shape[2], said.native(0).shape[3])
        averaged = []
        for t in range(said.length):
            others = self.along(t, size)
            views = [losses.flow_averaged_teacher(said.probs(t), said.probs(k), *motion) for k, motion in others]
            averaged.append(torch.stack(views or [said.probs(t)]).mean(0))
        native = torch.stack(averaged, 1).flatten(0, 1).clamp(min=torch.finfo(torch.float32).tiny).log()
        return ClipPrediction(replace(said.prediction, native=native), said.length)

    def memoize(self, key: Hashable, make: Callable[[], T]) -> T:
        """What does not depend on the student: made when first asked for, then the same in all views."""
        if key not in self._memo:
            self._memo[key] = make()
        return cast(T, self._memo[key])

    @property
    def weak(self) -> Tensor:
        """(B, H, W) int64, the labelled frame's weak label, 255 where unknown."""
        if self.clip.weak is None:
            raise ValueError("this method reads weak labels, and the clips carry none: set data.semi")
        return self.clip.weak

    @property
    def neighbours(self) -> list[int]:
        """Indices of the frames that are not the anchor."""
        return [t for t in range(self.frames.shape[1]) if t != self.clip.anchor]

    def valid(self, t: int, size: Size) -> Tensor:
        """(B, 1, h, w) bool, the pixels of frame t that augmentation did not make up, and whose target is known."""
        valid, known = _resize_mask(self.clip.valid[:, t], size), self.clip.target_valid
        return valid if known is None else valid & _resize_mask(known[:, t], size)

    def counted(self, t: int, size: Size, labelled: float) -> Tensor:
        """(B, 1, h, w), how much each pixel of frame t counts: `valid`, times `labelled` where its anchor is."""
        valid = self.valid(t, size)
        return valid if labelled == 1 else valid * (1 - (1 - labelled) * self.has_labels.view(-1, 1, 1, 1))

    @property
    def has_labels(self) -> Tensor:
        """(B,) float, 1 where the clip's anchor has labels, else 0."""
        return self.clip.labelled[:, self.clip.anchor].float()

    def labels(self, t: int) -> Tensor:
        """(B, H, W) int64, the labels of frame t: its own, or the anchor's carried along the motion, else 255."""
        if t == self.clip.anchor or bool(self.clip.labelled[:, t].all()):
            return self.clip.labels[:, t]
        ((_, (flow, visible)),) = self.along(t, self.frames.shape[-2:])
        carried = warp(self.clip.labels[:, self.clip.anchor, None].float(), flow, mode="nearest").long()
        return torch.where(visible, carried, IGNORE).squeeze(1)

    def along(self, t: int, size: Size) -> Iterator[tuple[int, PairMotion]]:
        """The frames that the motion of frame t is known to, each with it, in pixels of that resolution.

        From the labelled frame to each of its neighbours; from a neighbour back to the labelled frame.
        """
        for p, (anchor, neighbour) in enumerate(self.clip.pairs):
            if t == anchor:
                yield neighbour, self.motion(p, size)
            elif t == neighbour:
                yield anchor, self.motion(p, size, back=True)

    def motion(self, pair: int, size: Size, back: bool = False) -> PairMotion:
        """Motion of a pair of frames in pixels of that resolution, from the labelled one or `back` to it."""
        height, width = size

        def resized() -> PairMotion:
            flow, visible = self.memoize("motions", self._full_motions)[pair][back]
            small = resize_flow(flow, (height, width))
            return PairMotion(small, _resize_mask(visible, size) & in_frame(small))

        return self.memoize(("motion", pair, back, height, width), resized)

    @torch.no_grad()
    def _full_motions(self) -> list[tuple[PairMotion, PairMotion]]:
        """Of each pair: from the anchor to the neighbour, and back."""
        clip, motions = self.clip, []
        for p, ((anchor, neighbour), (flow, backward)) in enumerate(zip(clip.pairs, self._flows())):
            seen = forward_backward_check(flow, backward) if clip.visible is None else clip.visible[:, p]
            there = PairMotion(flow, seen & self._both_real(anchor, neighbour, flow))
            seen = forward_backward_check(backward, flow)
            motions.append((there, PairMotion(backward, seen & self._both_real(neighbour, anchor, backward))))
        return motions

    def _flows(self) -> Iterable[tuple[Tensor, Tensor]]:
        """Of each pair, there and back: the clip's own, or estimated."""
        clip = self.clip
        if clip.flow is not None and clip.backward is not None:
            return zip(clip.flow.unbind(1), clip.backward.unbind(1))
        if self._estimator is None:
            raise ValueError(
                "this method needs motion, the data carries none, and no flow estimator is configured: set flow"
            )
        return self._estimator.between(clip.frames.unbind(1), clip.pairs)

    def _both_real(self, t: int, k: int, flow: Tensor) -> Tensor:
        """(B, 1, H, W), the pixels of frame t that lead into frame k, both of one clip and neither made up."""
        real = self.clip.valid[:, t] & warp(self.clip.valid[:, k], flow, mode="nearest") & in_frame(flow)
        pasted = self.clip.pasted
        return real if pasted is None else real & (pasted[:, t] == warp(pasted[:, k], flow, mode="nearest"))


def _resize_mask(mask: Tensor, size: Size) -> Tensor:
    height, width = size
    if mask.shape[-2:] == (height, width):
        return mask
    return F.interpolate(mask.float(), (height, width), mode="nearest-exact").bool()
