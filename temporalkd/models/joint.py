"""Several frozen networks that speak as one teacher."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from temporalkd.losses import branch_weights, fused_target
from temporalkd.models.mapped import MappedClasses
from temporalkd.models.segmenter import Prediction, Segmenter
from temporalkd.models.stored import StoredTeacher
from temporalkd.models.views import MultiView

Branch = Segmenter | MultiView | MappedClasses
Fusion = Literal["accuracy", "confidence", "mean"]


class JointTeacher(nn.Module):
    """A teacher of several branches, a CNN and a transformer say, behind the contract of one network.

    Its logits are the logarithm of the branches' fused probabilities, at the frame's size, and at the finest of their
    strides; its features are those of the first branch; `Prediction.branches` holds what each says alone.

    Args:
        branches: name -> network.
        fusion: "confidence": each pixel listens to the branch that is surer of it; "accuracy": and to the one that errs
            less, by `errors`; "mean": to all alike.
        temperature: of the weights, see losses.branch_weights.
        errors: cross-entropy of each branch with labels, nats, for "accuracy".
    Raises:
        ValueError: fewer than two branches, their class counts differ, or "accuracy" without errors.
    Source:
        Wang et al., 2022 (STCKD): a CNN and a transformer branch used jointly [text]; how they are fused [ours].
    """

    def __init__(
        self,
        branches: Mapping[str, Branch],
        fusion: Fusion = "confidence",
        temperature: float = 0.1,
        errors: Sequence[float] | None = None,
    ):
        super().__init__()
        counts = {name: branch.classes for name, branch in branches.items()}
        if len(counts) < 2 or len(set(counts.values())) > 1:
            found = ", ".join(f"{name} {count}" for name, count in counts.items())
            raise ValueError(f"a joint teacher needs two networks or more of the same classes, got {found or 'none'}")
        if fusion == "accuracy" and (errors is None or len(errors) != len(branches)):
            raise ValueError(f"fusion by accuracy needs one error a branch, got {errors}")
        self.branches = nn.ModuleDict(branches)
        self.fusion, self.temperature, self.errors = fusion, temperature, errors
        self.classes = next(iter(counts.values()))

    def extra_repr(self) -> str:
        """How the branches are fused, for a printed network and its fingerprint."""
        return f"fusion={self.fusion}, temperature={self.temperature}, errors={self.errors}"

    @property
    def networks(self) -> dict[str, Branch]:
        """Name -> network."""
        return dict(self.branches.items())  # type: ignore[arg-type]

    @property
    def first(self) -> Branch:
        """The branch whose features are the teacher's."""
        return next(iter(self.networks.values()))

    @property
    def channels(self) -> dict[str, list[int]]:
        """Of the first branch, see Segmenter."""
        return self.first.channels

    @property
    def device(self) -> torch.device:
        """Where it runs."""
        return self.first.device

    def forward(self, frames: Tensor) -> Prediction:
        """(N, 3, H, W) float RGB in [0, 1] -> Prediction, logits at (H, W)."""
        said = {name: branch(frames) for name, branch in self.branches.items()}
        finest = max((p.native.shape[-2:] for p in said.values()), key=lambda size: size[0] * size[1])
        native, weights = self._fused([_resize(p.native.float().softmax(1), finest) for p in said.values()])
        logits, _ = self._fused([p.logits.float().softmax(1) for p in said.values()])
        features = next(iter(said.values())).features
        return Prediction(logits, native, native, None, features, said, dict(zip(said, weights)))

    def _fused(self, probs: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Logits of the branches' probabilities (N, C, h, w), and their weights (branches, N, 1, h, w)."""
        weights = self._weights(probs)
        fused = fused_target(probs, weights)
        return fused.clamp(min=torch.finfo(fused.dtype).tiny).log(), weights

    def _weights(self, probs: Sequence[Tensor]) -> Tensor:
        """(branches, N, 1, h, w)"""
        if self.fusion == "mean":
            return torch.stack([torch.full_like(p[:, :1], 1 / len(probs)) for p in probs])
        return branch_weights(probs, self.temperature, self.errors if self.fusion == "accuracy" else None)


Teacher = Branch | JointTeacher | StoredTeacher
BRANCHES = ("first", "second", *(f"number {number}" for number in range(3, 100)))
"""Names of an ensemble's networks."""


def views(
    model: Segmenter | MappedClasses | JointTeacher, *, flip: bool = True, scales: Sequence[float] = (0.75, 1.0, 1.25)
) -> MultiView | JointTeacher:
    """A network, or each network of an ensemble, seen mirrored and at several sizes, as a teacher.

    The average of views is more accurate and steadier than one view, and costs as many forwards as there are views.

    Args:
        model: a Segmenter, or what `ensemble` gives.
        flip: add the mirrored frame at each scale.
        scales: factors by which the frame is resized; 1 must be among them.
    Raises:
        ValueError: no scale of 1, or one that is not more than 0.

    >>> import torch
    >>> import temporalkd as tkd
    >>> network = tkd.Segmenter(torch.nn.Conv2d(3, 4, 3, stride=4, padding=1), classes=4, normalisation="none")
    >>> teacher = tkd.views(network, flip=True, scales=(0.75, 1, 1.25))
    >>> tuple(teacher(torch.rand(1, 3, 48, 64)).logits.shape), teacher.count
    ((1, 4, 48, 64), 6)
    """
    if isinstance(model, JointTeacher):
        seen = {name: MultiView(branch, flip, scales) for name, branch in _plain(model).items()}
        return JointTeacher(seen, model.fusion, model.temperature, model.errors)
    return MultiView(model, flip, scales)


def ensemble(*models: Branch) -> JointTeacher:
    """Several networks of the same classes as one teacher: their probabilities averaged, features of the first.

    Args:
        models: two or more, each a Segmenter or what `views` gives of one.
    Raises:
        ValueError: fewer than two, or of different classes.

    >>> import torch
    >>> import temporalkd as tkd
    >>> networks = [tkd.Segmenter(torch.nn.Conv2d(3, 4, 1), classes=4, normalisation="none") for _ in range(3)]
    >>> tuple(tkd.ensemble(*networks)(torch.rand(1, 3, 16, 16)).logits.shape)
    (1, 4, 16, 16)
    """
    return JointTeacher(dict(zip(BRANCHES, models)), "mean")


def _plain(joint: JointTeacher) -> dict[str, Segmenter | MappedClasses]:
    return {
        name: branch.network if isinstance(branch, MultiView) else branch for name, branch in joint.networks.items()
    }


def _resize(maps: Tensor, size: tuple[int, int] | torch.Size) -> Tensor:
    if maps.shape[-2:] == size:
        return maps
    return F.interpolate(maps, size, mode="bilinear", align_corners=False)
