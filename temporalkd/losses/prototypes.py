"""The mean feature of each class, and how student and teacher place their pixels and classes by it.

Frames of a clip are pooled by concatenating them, and their labels (255 where not known), along the batch.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

from temporalkd.losses.reduce import AllSum, check_same, full_precision, local_sum, masked_mean, unit
from temporalkd.losses.supervised import labels_for

Scope = Literal["batch", "image"]
Anchor = Literal["student", "teacher"]
Part = Literal["both", "intra", "inter"]


class Prototypes(NamedTuple):
    """Mean feature of each class (G, K, C), zeros where absent, and which are present, bool (G, K).

    G groups: 1 over the batch, B over its images.
    """

    centres: Tensor
    present: Tensor


class PrototypeDistances(NamedTuple):
    """Mean distances between prototypes of length one, scalars without a graph; 0 where there is none to measure."""

    intra: Tensor
    """||P_S,k - P_T,k||"""
    student_inter: Tensor
    """||P_S,k - P_S,j||, j != k"""
    teacher_inter: Tensor
    """||P_T,k - P_T,j||, j != k"""


@full_precision
def class_prototypes(
    features: Tensor,
    labels: Tensor,
    classes: int,
    minimum: int = 8,
    scope: Scope = "batch",
    all_sum: AllSum = local_sum,
) -> Prototypes:
    """Mean feature of each class over the batch (of all processes) or within each image.

    P_k = sum_{i: y_i = k} f_i / |{i: y_i = k}|

    Shape:
        features: (B, C, H, W).
        labels: (B, H', W'), int64; another size is brought to the features' by nearest neighbour. A label outside
            0..classes-1 counts nothing.
        minimum: a class of fewer pixels is absent.
    """
    _check_option("class_prototypes", "scope", scope, Scope)
    index, counted = _classes_at("class_prototypes", features, labels, classes)
    groups = 1
    if scope == "image":
        groups = features.shape[0]
        index = index + classes * torch.arange(groups, device=index.device)[:, None, None]
    bins = groups * classes
    index = torch.where(counted, index, bins).flatten()  # the last bin takes what does not count
    sums = features.new_zeros(bins + 1, features.shape[1]).index_add(0, index, _rows(features))[:-1]
    # torch.bincount would wait for the device, to look for the largest index.
    counts = index.new_zeros(bins + 1).index_add(0, index, torch.ones_like(index))[:-1].to(features.dtype)
    if scope == "batch":
        sums, counts = all_sum(torch.cat([sums, counts[:, None]], 1)).split([features.shape[1], 1], 1)
        counts = counts.detach().squeeze(1)
    present = counts >= max(minimum, 1)
    centres = torch.where(present[:, None], sums / counts.clamp(min=1)[:, None], sums.new_zeros(()))
    return Prototypes(centres.view(groups, classes, -1), present.view(groups, classes))


@full_precision
def intra_class_variation(
    student: Tensor, teacher: Tensor, labels: Tensor, classes: int, all_sum: AllSum = local_sum
) -> Tensor:
    """How far each pixel's feature lies from the mean of its class in its image, student against teacher.

    L = mean_i (M_S,i - M_T,i)^2, M_i = cos(f_i, mu_{y_i}), mu_k the mean of f over class k of the image

    Shape:
        student: (B, C_S, H, W); teacher: (B, C_T, H, W), features.
        labels: (B, H', W'), int64; another size is brought to the features' by nearest neighbour.
    Returns:
        Scalar, mean over the labelled pixels; 0 where there is none. No gradient reaches the teacher.
    Source:
        Wang et al., ECCV 2020 (IFVD). [text] Unlabelled pixels do not count. [ours]
    """
    check_same("intra_class_variation", student, teacher, channels=False)
    index, counted = _classes_at("intra_class_variation", student, labels, classes)
    index = index + classes * torch.arange(len(index), device=index.device)[:, None, None]
    similarity = []
    for features in (student, teacher.detach()):
        features = features.masked_fill(~counted[:, None], 0)
        centres = class_prototypes(features, labels, classes, minimum=1, scope="image").centres
        own = unit(centres, dim=-1).flatten(0, 1).index_select(0, index.flatten())
        similarity.append((unit(_rows(features), dim=1) * own).sum(1))
    return masked_mean((similarity[0] - similarity[1]).square(), counted.flatten(), all_sum=all_sum)


@full_precision
def prototype_triplet(
    student: Tensor,
    teacher: Tensor,
    labels: Tensor,
    classes: int,
    margin: float = 0.3,
    minimum: int = 8,
    scope: Scope = "batch",
    anchor: Anchor = "student",
    part: Part = "both",
    hardest: bool = False,
    all_sum: AllSum = local_sum,
) -> Tensor:
    """A class of the student close to the same class of the teacher and far from the teacher's other classes.

    L = mean_{k, j != k} relu(||P_S,k - sg P_T,k|| - ||P_S,k - sg P_T,j|| + margin), over the classes present,
    P_k the mean feature of class k scaled to length one

    Shape:
        student, teacher: (B, C, H, W), features in one space (an adapter brings the student's channels there).
        labels: (B, H', W'), int64; another size is brought to the features' by nearest neighbour.
    Args:
        minimum: a class of fewer pixels is absent.
        scope: prototypes over the batch (of all processes), or within each image.
        anchor: "teacher": the negatives are ||P_S,j - sg P_T,k||, other classes of the student against the teacher's k.
        part: "intra": mean_k ||P_S,k - sg P_T,k|| alone; "inter": the triplet with ||P_S,k - sg P_T,k|| held fixed, so
            that its value is that of "both" and its gradient the one that pushes classes apart.
        hardest: of the negatives of a class, the nearest alone.
    Returns:
        Scalar; 0 where no class ("both" and "inter": no two classes) is present.
    Source:
        Karine, Napoleon, Jridi, 2024 (I2CKD). [text] Unit length, the margin, what is held fixed, the minimum and the
        options. [ours]
    """
    for name, value, allowed in (("scope", scope, Scope), ("anchor", anchor, Anchor), ("part", part, Part)):
        _check_option("prototype_triplet", name, value, allowed)
    ours, theirs, present = _unit_prototypes(
        "prototype_triplet", student, teacher, labels, classes, minimum, scope, all_sum=all_sum
    )
    positive = torch.linalg.vector_norm(ours - theirs, dim=-1)
    if part == "intra":
        return masked_mean(positive, present, all_sum=all_sum)
    if part == "inter":
        positive = positive.detach()
    negatives = _distances(ours, theirs) if anchor == "student" else _distances(theirs, ours)
    pairs = _pairs(present)
    if not hardest:
        return masked_mean((positive[..., None] - negatives + margin).relu(), pairs, all_sum=all_sum)
    nearest = negatives.masked_fill(~pairs, torch.finfo(negatives.dtype).max).amin(-1)
    return masked_mean((positive - nearest + margin).relu(), pairs.any(-1), all_sum=all_sum)


@torch.no_grad()
@full_precision
def prototype_distances(
    student: Tensor,
    teacher: Tensor,
    labels: Tensor,
    classes: int,
    minimum: int = 8,
    scope: Scope = "batch",
    all_sum: AllSum = local_sum,
) -> PrototypeDistances:
    """What `prototype_triplet` is meant to change, for the log; arguments as there.

    Over the batch of several processes all of them must call it.
    """
    _check_option("prototype_distances", "scope", scope, Scope)
    ours, theirs, present = _unit_prototypes(
        "prototype_distances", student, teacher, labels, classes, minimum, scope, all_sum=all_sum
    )
    pairs = _pairs(present)
    return PrototypeDistances(
        masked_mean(torch.linalg.vector_norm(ours - theirs, dim=-1), present, all_sum=all_sum),
        masked_mean(_distances(ours, ours), pairs, all_sum=all_sum),
        masked_mean(_distances(theirs, theirs), pairs, all_sum=all_sum),
    )


def _unit_prototypes(
    name: str,
    student: Tensor,
    teacher: Tensor,
    labels: Tensor,
    classes: int,
    minimum: int,
    scope: Scope,
    all_sum: AllSum,
) -> tuple[Tensor, Tensor, Tensor]:
    check_same(name, student, teacher)
    ours, present = class_prototypes(student, labels, classes, minimum, scope, all_sum)
    theirs, _ = class_prototypes(teacher.detach(), labels, classes, minimum, scope, all_sum)
    return unit(ours, dim=-1), unit(theirs, dim=-1), present


def _distances(a: Tensor, b: Tensor) -> Tensor:
    """(G, K, C) twice -> (G, K, K), ||a_k - b_j||; its gradient at distance zero is zero, not NaN."""
    return torch.linalg.vector_norm(a[:, :, None] - b[:, None], dim=-1)


def _pairs(present: Tensor) -> Tensor:
    """(G, K) -> (G, K, K), bool: two different classes, both present."""
    different = ~torch.eye(present.shape[1], dtype=torch.bool, device=present.device)
    return present[:, :, None] & present[:, None] & different


def _classes_at(name: str, features: Tensor, labels: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """Class of each pixel of the features, 0 where it does not count, and where it does; both (B, H, W)."""
    labels = labels_for(name, features, labels)
    counted = (labels >= 0) & (labels < classes)
    return labels.masked_fill(~counted, 0), counted


def _rows(features: Tensor) -> Tensor:
    """(B, C, H, W) -> (B H W, C)"""
    return features.movedim(1, -1).flatten(0, 2)


def _check_option(name: str, option: str, value: str, allowed: object) -> None:
    if value not in get_args(allowed):
        raise ValueError(f"{name}: {option} must be one of {', '.join(get_args(allowed))}, got {value!r}")
