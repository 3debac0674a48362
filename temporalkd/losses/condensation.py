"""Feature condensation: the teacher's certainty decides where, and how strongly, it is imitated."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

from temporalkd.losses.channelwise import channel_kl
from temporalkd.losses.pixelwise import pixel_kl
from temporalkd.losses.reduce import AllSum, check_same, full_precision, local_sum

Mode = Literal["entropy", "hard", "control"]
Condense = Literal["both", "teacher", "none"]
Enhance = Literal["weights", "teacher"]


class CondensedKL(NamedTuple):
    """The two parts of `condensed_kl`, weights included: their sum is the loss."""

    spatial: Tensor
    channel: Tensor

    @property
    def total(self) -> Tensor:
        return self.spatial + self.channel


@full_precision
def condensation_matrix(
    teacher: Tensor,
    mode: Mode = "entropy",
    disagreement: Tensor | None = None,
    valid: Tensor | None = None,
    keep: float = 0.8,
) -> Tensor:
    """How much each pixel of the teacher's prediction is worth.

    E = entropy(softmax(z_T)) / log C; M = 1 - E

    Shape:
        teacher: (B, C, H, W), logits, C >= 2.
        disagreement: (B, 1, H, W) in [0, 1], added to E (clamped to 1), e.g. half the L1 distance between the teacher's
            probabilities and its neighbour's along the motion where visible, 0 elsewhere. None: none.
        valid: (B, 1, H, W), bool; a pixel that is not valid gets 0. None: all.
    Args:
        mode: "hard": 1 for the `keep` share of the valid pixels of each frame with the smallest E (all that tie with
            the last), 0 for the others; "control": M = E, the wrong way round.
    Returns:
        (B, 1, H, W) in [0, 1], without a graph.
    Source:
        Yuan et al., Entropy 25(1):125, 2023 (FCKDNet), entropy as the measure. [text] The matrix, the hard form, the
        control and the disagreement. [ours]
    """
    _check_option("mode", mode, Mode)
    if teacher.shape[1] < 2:
        raise ValueError(f"condensation_matrix: needs two classes or more, got shape {tuple(teacher.shape)}")
    log_p = teacher.detach().log_softmax(1)
    uncertainty = -(log_p.exp() * log_p).sum(1, keepdim=True) / math.log(teacher.shape[1])
    if disagreement is not None:
        uncertainty = uncertainty + disagreement.detach()
    uncertainty = uncertainty.clamp(0, 1)
    if mode == "hard":
        matrix = _most_certain(uncertainty, valid, keep).to(uncertainty.dtype)
    else:
        matrix = uncertainty if mode == "control" else 1 - uncertainty
    return matrix if valid is None else matrix.masked_fill(~valid, 0)


def _most_certain(uncertainty: Tensor, valid: Tensor | None, keep: float) -> Tensor:
    """bool, the `keep` share of each frame's valid pixels with the smallest uncertainty."""
    counted = torch.ones_like(uncertainty, dtype=torch.bool) if valid is None else valid
    ranked = uncertainty.masked_fill(~counted, torch.inf).flatten(1).sort(1).values
    # Rounded first: 0.8 * 5 must ask for 4 pixels, whatever the last bit of the product.
    last = (keep * counted.flatten(1).sum(1, keepdim=True)).double().round(decimals=6).ceil().long() - 1
    threshold = ranked.gather(1, last.clamp(min=0))
    return uncertainty <= threshold[:, :, None, None]


@full_precision
def enhancement(teacher: Tensor, valid: Tensor | None = None, limit: float = 4.0) -> tuple[Tensor, Tensor]:
    """Soft enhancement of the teacher's strong pixels and strong channels.

    A_s = n softmax_i(mean_c |z_ic|), A_c = C softmax_c(mean_i |z_ic|), clamped to [1, limit]; z centred over classes,
    i over the n valid pixels

    Shape:
        teacher: (B, C, H, W), condensed logits.
        valid: (B, 1, H, W), bool, or None.
        limit: 1: no enhancement, both are one.
    Returns:
        A_s (B, 1, H, W) and A_c (B, C, 1, 1), without a graph.
    Source:
        Yuan et al., 2023 (FCKDNet): soft enhancement over space and over channels. [text] The formula. [ours]
    """
    if limit < 1:
        raise ValueError(f"enhancement: limit must be 1 or more, got {limit}")
    counted = torch.ones_like(teacher[:, :1], dtype=torch.bool) if valid is None else valid
    strength = _centred(teacher.detach(), counted).abs()
    pixels = counted.flatten(1).sum(1).to(strength.dtype)[:, None, None, None]
    over_channels = strength.mean(1, keepdim=True).masked_fill(~counted, torch.finfo(strength.dtype).min)
    spatial = pixels * over_channels.flatten(1).softmax(1).view_as(over_channels)
    over_space = strength.sum((2, 3), keepdim=True) / pixels.clamp(min=1)
    channel = strength.shape[1] * over_space.softmax(1)
    return spatial.clamp(1, limit), channel.clamp(1, limit)


@full_precision
def condensed_kl(
    student: Tensor,
    teacher: Tensor,
    valid: Tensor | None = None,
    condense: Condense = "both",
    spatial: bool = True,
    channel: bool = True,
    weight: float = 0.2,
    tau: float = 4.0,
    mode: Mode = "entropy",
    limit: float = 4.0,
    enhance: Enhance = "weights",
    disagreement: Tensor | None = None,
    all_sum: AllSum = local_sum,
) -> CondensedKL:
    """Distillation of condensed logits, over space and over channels, weighted by the teacher's enhancement.

    L = sum_i A_s,i KL_i(T' || S') / sum_i A_s,i + weight sum_c A_c KL_c(T' || S') / sum_c A_c,
    T' = M z_T, S' = M z_S, z centred over classes, so that an offset over the classes of a pixel changes nothing

    KL_i is `pixel_kl` at pixel i and KL_c is `channel_kl` of channel c at temperature tau. The loss is 0 at the teacher
    for condense "both" and "none". With M = A = 1 (condense "none", limit 1) it is pixel_kl + weight channel_kl.

    Shape:
        student, teacher: (B, C, H, W), logits, C >= 2.
        valid: (B, 1, H, W), bool, the pixels that count; None: all.
        disagreement: (B, 1, H, W), as in `condensation_matrix`.
    Args:
        condense: what M multiplies: the logits of both, of the teacher alone, or nothing.
        spatial: weigh the pixels by A_s; False: all alike.
        channel: add the part over channels, weighted by A_c; False: it is 0.
        weight: of the part over channels; 0.2 pulls an encoder about as hard as the part over space does.
        tau: temperature of the part over channels; that of pixel_kl is 1.
        mode: of `condensation_matrix`.
        limit: of `enhancement`.
        enhance: "weights", as above. "teacher": the enhancement multiplies the teacher's logits, T' sqrt(A), and M
            weighs the pixels. Its optimum is not the teacher; it is kept for the ablation.
    Returns:
        The two parts, `weight` included; 0 where no pixel counts. No gradient reaches the teacher.
    Source:
        Yuan et al., Entropy 25(1):125, 2023 (FCKDNet): condensation of both outputs, soft enhancement of the teacher,
        spatial and channel features distilled apart. [text] The equations and the centring. [ours]
    """
    check_same("condensed_kl", student, teacher)
    _check_option("condense", condense, Condense)
    _check_option("enhance", enhance, Enhance)
    counted = torch.ones_like(teacher[:, :1], dtype=torch.bool) if valid is None else valid
    s, t = (_centred(z, counted) for z in (student, teacher.detach()))
    matrix = counted.to(t.dtype)
    if condense != "none":
        matrix = condensation_matrix(t, mode, disagreement, counted)
        t = matrix * t
        s = matrix * s if condense == "both" else s
    over_space, over_channels = enhancement(t, counted, limit)
    if enhance == "teacher":
        part = pixel_kl(s, t * over_space.sqrt() if spatial else t, matrix, all_sum=all_sum)
        other = channel_kl(s, t * over_channels.sqrt(), valid, tau, all_sum=all_sum) if channel else None
    else:
        part = pixel_kl(s, t, over_space * counted if spatial else counted, all_sum=all_sum)
        other = channel_kl(s, t, valid, tau, weight=over_channels.flatten(1), all_sum=all_sum) if channel else None
    return CondensedKL(part, part.new_zeros(()) if other is None else weight * other)


def _centred(logits: Tensor, valid: Tensor) -> Tensor:
    """Logits without their mean over the classes; zeros where they do not count."""
    logits = logits.masked_fill(~valid, 0)
    return logits - logits.mean(1, keepdim=True)


def _check_option(option: str, value: str, allowed: object) -> None:
    if value not in get_args(allowed):
        raise ValueError(f"condensation: {option} must be one of {', '.join(get_args(allowed))}, got {value!r}")
