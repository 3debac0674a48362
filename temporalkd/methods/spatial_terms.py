"""Terms within single frames: labels, predictions, affinities, channels, attention, condensation."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from temporalkd import losses
from temporalkd.losses.condensation import Condense, Enhance, Mode
from temporalkd.methods.context import DistillationContext
from temporalkd.methods.term import LossTerm, register_term
from temporalkd.models import Segmenter, Teacher


class Pair(NamedTuple):
    """The student's feature (B, c, h, w) brought to the teacher's size, the teacher's, and the pixels that count."""

    student: Tensor
    teacher: Tensor
    valid: Tensor


class Spatial(LossTerm):
    """A distillation within single frames: of the labelled one, and `neighbours` times that of each other one."""

    needs_teacher = True

    def __init__(self, neighbours: float = 0.0):
        super().__init__()
        self.neighbours = neighbours

    def at(self, context: DistillationContext, t: int) -> Tensor:
        raise TypeError(f"{type(self).__name__} must define at(context, t) -> scalar")

    def forward(self, context: DistillationContext) -> Tensor:
        loss = self.at(context, context.clip.anchor)
        if self.neighbours:
            for t in context.neighbours:
                loss = loss + self.neighbours * self.at(context, t)
        return loss


def pair_of(context: DistillationContext, t: int, role: str, branch: str = "") -> Pair:
    """The single feature of a role in frame t."""
    teacher = context.teacher.branch(branch).feature(role, t)
    student = losses.match_size(context.student.feature(role, t), teacher)
    valid = context.valid(t, teacher.shape[-2:])
    return Pair(student, teacher, valid & says_something(teacher) if role == "logits" else valid)


def layers_of(context: DistillationContext, t: int, role: str, adapters: nn.ModuleList | None = None) -> list[Pair]:
    """Each layer's features in frame t, the student's through its adapter where there are any.

    Layers are matched from the deep end, where one network has more of them.
    """
    pairs = zip(*(reversed(side.features(role, t)) for side in (context.student, context.teacher)))
    found = []
    for number, (student, teacher) in enumerate(pairs, start=1):
        adapted = adapters[-number](student) if adapters else student
        valid = context.valid(t, teacher.shape[-2:])
        valid = valid & says_something(teacher) if role == "logits" else valid
        found.append(Pair(losses.match_size(adapted, teacher), teacher, valid))
    return found[::-1]


def says_something(logits: Tensor) -> Tensor:
    """(B, 1, h, w) bool, where logits (B, C, h, w) differ between classes: where they do not, nothing is said."""
    return logits.amax(1, keepdim=True) > logits.amin(1, keepdim=True)


class Adapter(nn.Sequential):
    """From the student's channels to the teacher's: a 1x1 convolution with batch normalisation.

    Its output starts with the mean and the deviation that the teacher's channels have: see `match`.
    """

    def __init__(self, student: int, teacher: int):
        super().__init__(nn.Conv2d(student, teacher, 1, bias=False), nn.BatchNorm2d(teacher))

    def forward(self, feature: Tensor) -> Tensor:
        """(B, student, h, w) of any precision -> (B, teacher, h, w)."""
        return super().forward(feature.to(next(self.parameters()).dtype))

    @torch.no_grad()
    def match(self, teacher: Sequence[Tensor]) -> None:
        """Start at the statistics of the teacher's features, each (B, teacher, h, w)."""
        pixels = torch.cat([feature.float().movedim(1, 0).flatten(1) for feature in teacher], 1)
        norm: nn.BatchNorm2d = self[1]  # type: ignore[assignment]
        norm.weight.copy_(pixels.std(1))
        norm.bias.copy_(pixels.mean(1))


def match_adapters(made: nn.ModuleList, contexts: Sequence[DistillationContext], role: str) -> None:
    """Start each adapter of a role at the statistics of the teacher's feature in all frames of the contexts."""
    features = [context.teacher.features(role, t) for context in contexts for t in range(context.frames.shape[1])]
    for number, adapter in enumerate(reversed(made), start=1):
        if isinstance(adapter, Adapter):
            adapter.match([layers[-number] for layers in features])


def adapters(student: Segmenter, teacher: Teacher | None, role: str) -> nn.ModuleList:
    """One a layer of the role, trained with the student and no part of it; nothing where the channels agree."""
    if teacher is None:
        return nn.ModuleList()
    pairs = zip(reversed(student.channels[role]), reversed(teacher.channels[role]))
    return nn.ModuleList([nn.Identity() if a == b else Adapter(a, b) for a, b in pairs][::-1])


@register_term("cross_entropy")
class CrossEntropy(LossTerm):
    """Cross-entropy with the labels, + 0.4 x the same for an auxiliary head.

    Args:
        class_weight: one number a class. A config's "enet" is computed from its data, and refused here.
    """

    def __init__(self, class_weight: Sequence[float] | Literal["enet"] | None = None, aux: float = 0.4):
        super().__init__()
        if isinstance(class_weight, str):
            raise ValueError(f"class_weight: {class_weight!r} needs the data of a config: give one number a class")
        self.aux = aux
        weight = None if class_weight is None else torch.tensor(class_weight, dtype=torch.float32)
        self.register_buffer("class_weight", weight, persistent=False)

    class_weight: Tensor | None

    def forward(self, context: DistillationContext) -> Tensor:
        t = context.clip.anchor
        labels = context.clip.labels[:, t]
        loss = losses.cross_entropy(context.student.logits(t), labels, self.class_weight, all_sum=context.all_sum)
        aux = context.student.aux(t)
        if aux is not None and self.aux:
            loss = loss + self.aux * losses.cross_entropy(aux, labels, self.class_weight, all_sum=context.all_sum)
        return loss


@register_term("pixel_kl")
class PixelKL(Spatial):
    """losses.pixel_kl on native logits; of a joint teacher, to that branch alone where one is named.

    Args:
        labelled: how much a pixel counts in clips whose anchor has labels; 0: the teacher is asked of others alone.
        standardise: see the loss.
    """

    def __init__(
        self,
        tau: float = 1.0,
        neighbours: float = 0.0,
        branch: str = "",
        labelled: float = 1.0,
        standardise: bool = False,
    ):
        super().__init__(neighbours)
        self.tau, self.branch, self.labelled, self.standardise = tau, branch, labelled, standardise
        self.reads_labelled = labelled > 0

    def at(self, context: DistillationContext, t: int) -> Tensor:
        student, teacher, valid = pair_of(context, t, "logits", self.branch)
        counted = valid * context.counted(t, teacher.shape[-2:], self.labelled)
        return losses.pixel_kl(student, teacher, counted, self.tau, self.standardise, context.all_sum)


@register_term("intra_affinity")
class IntraAffinity(Spatial):
    """losses.intra_affinity on a feature of any role, of that branch where the teacher is a joint one.

    The affinity to one branch counts as much as the branch does in the joint prediction, on average over the pixels.
    """

    def __init__(self, feature: str = "head", neighbours: float = 0.0, branch: str = ""):
        super().__init__(neighbours)
        self.feature, self.branch, self.roles = feature, branch, (feature,)

    def at(self, context: DistillationContext, t: int) -> Tensor:
        loss = losses.intra_affinity(
            *pair_of(context, t, self.feature, self.branch), centre=self.feature == "logits", all_sum=context.all_sum
        )
        return loss * context.teacher.share(self.branch)


@register_term("channel_kl")
class ChannelKL(Spatial):
    """losses.channel_kl on native logits, or on features of any role, adapted: the mean over the role's layers."""

    def __init__(self, feature: str = "logits", tau: float = 4.0, standardise: bool = False, neighbours: float = 0.0):
        super().__init__(neighbours)
        self.feature, self.tau, self.standardise, self.roles = feature, tau, standardise, (feature,)
        self.adapters = nn.ModuleList()

    def connect(self, students: Sequence[Segmenter], teacher: Teacher | None) -> None:
        super().connect(students, teacher)
        self.adapters = adapters(students[0], teacher, self.feature)
        self.prepares = any(isinstance(adapter, Adapter) for adapter in self.adapters)

    def prepare(self, contexts: Sequence[DistillationContext]) -> None:
        match_adapters(self.adapters, contexts, self.feature)

    def at(self, context: DistillationContext, t: int) -> Tensor:
        layers = layers_of(context, t, self.feature, self.adapters)
        return torch.stack(
            [losses.channel_kl(*pair, self.tau, self.standardise, all_sum=context.all_sum) for pair in layers]
        ).mean()


@register_term("dist")
class DIST(Spatial):
    """losses.dist on native logits."""

    def __init__(self, inter: float = 1.0, intra: float = 1.0, tau: float = 1.0, neighbours: float = 0.0):
        super().__init__(neighbours)
        self.inter, self.intra, self.tau = inter, intra, tau

    def at(self, context: DistillationContext, t: int) -> Tensor:
        pair = pair_of(context, t, "logits")
        return losses.dist(*pair, self.inter, self.intra, self.tau, all_sum=context.all_sum)


@register_term("feature")
class Feature(Spatial):
    """losses.feature_l2 or feature_cosine on features, adapted by a 1x1 convolution: the mean over roles and layers."""

    def __init__(
        self,
        features: Sequence[str] = ("fused", "head"),
        kind: Literal["l2", "cosine"] = "l2",
        neighbours: float = 0.0,
    ):
        super().__init__(neighbours)
        if kind not in ("l2", "cosine"):
            raise ValueError(f"kind: {kind!r}, expected 'l2' or 'cosine'")
        self.roles, self.loss = tuple(features), losses.feature_l2 if kind == "l2" else losses.feature_cosine
        self.adapters = nn.ModuleDict()

    def connect(self, students: Sequence[Segmenter], teacher: Teacher | None) -> None:
        super().connect(students, teacher)
        self.adapters = nn.ModuleDict({role: adapters(students[0], teacher, role) for role in self.roles})
        self.prepares = any(isinstance(module, Adapter) for module in self.adapters.modules())

    def prepare(self, contexts: Sequence[DistillationContext]) -> None:
        for role, made in self.adapters.items():
            match_adapters(made, contexts, role)  # type: ignore[arg-type]

    def at(self, context: DistillationContext, t: int) -> Tensor:
        pairs = [p for role, made in self.adapters.items() for p in layers_of(context, t, role, made)]  # type: ignore[arg-type]
        return torch.stack([self.loss(*pair, all_sum=context.all_sum) for pair in pairs]).mean()


@register_term("attention")
class Attention(Spatial):
    """losses.attention on features of any role and channel counts: the mean over the role's layers."""

    def __init__(self, feature: str = "head", neighbours: float = 0.0):
        super().__init__(neighbours)
        self.feature, self.roles = feature, (feature,)

    def at(self, context: DistillationContext, t: int) -> Tensor:
        return torch.stack(
            [losses.attention(*pair, all_sum=context.all_sum) for pair in layers_of(context, t, self.feature)]
        ).mean()


@register_term("dkd")
class DKD(LossTerm):
    """losses.dkd on the labelled frame's native logits."""

    needs_teacher = True

    def __init__(self, alpha: float = 1.0, beta: float = 1.0, tau: float = 1.0):
        super().__init__()
        self.alpha, self.beta, self.tau = alpha, beta, tau

    def forward(self, context: DistillationContext) -> Tensor:
        t = context.clip.anchor
        student, teacher, _ = pair_of(context, t, "logits")
        return losses.dkd(
            student, teacher, context.clip.labels[:, t], self.alpha, self.beta, self.tau, all_sum=context.all_sum
        )


@register_term("condensation")
class Condensation(Spatial):
    """losses.condensed_kl on native logits: both parts, the one over channels with its own weight.

    Args:
        temporal: where the teacher disagrees with itself along the motion it is not knowledge either. [ours]
    """

    def __init__(
        self,
        condense: Condense = "both",
        spatial: bool = True,
        channel: bool = True,
        channel_weight: float = 0.2,
        tau: float = 4.0,
        mode: Mode = "entropy",
        enhance: Enhance = "weights",
        temporal: bool = False,
        neighbours: float = 0.0,
    ):
        super().__init__(neighbours)
        self.temporal, self.frames = temporal, 2 if temporal else 1
        self.loss = partial(
            losses.condensed_kl,
            condense=condense,
            spatial=spatial,
            channel=channel,
            weight=channel_weight,
            tau=tau,
            mode=mode,
            enhance=enhance,
        )

    def at(self, context: DistillationContext, t: int) -> Tensor:
        student, teacher, valid = pair_of(context, t, "logits")
        doubt = self._disagreement(context, t) if self.temporal else None
        return self.loss(student, teacher, valid, disagreement=doubt, all_sum=context.all_sum).total

    def _disagreement(self, context: DistillationContext, t: int) -> Tensor:
        probs = context.teacher.probs(t)
        size = (probs.shape[2], probs.shape[3])
        return torch.stack(
            [losses.disagreement(probs, context.teacher.probs(k), *motion) for k, motion in context.along(t, size)]
        ).mean(0)
