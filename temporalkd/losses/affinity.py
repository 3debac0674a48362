"""Affinities between the pixels of one frame or of two, compared between student and teacher.

The N x N affinity matrices are never formed where that is dearer. With unit columns X, Y (C x N),

    ||X_S' Y_S - X_T' Y_T||_F^2 = <X_S X_S', Y_S Y_S'> + <X_T X_T', Y_T Y_T'> - 2 <X_S X_T', Y_S Y_T'>,

Gram matrices of C x C: exact, linear in the number of pixels, for unequal channel counts too.
"""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from temporalkd.losses.reduce import AllSum, check_same, full_precision, local_sum, mean_over

GRAM_PAYS_ABOVE = 3  # pixels per channel


@full_precision
def inter_affinity(
    student_t: Tensor,
    student_k: Tensor,
    teacher_t: Tensor,
    teacher_k: Tensor,
    valid_t: Tensor | None = None,
    valid_k: Tensor | None = None,
    centre: bool = False,
    all_sum: AllSum = local_sum,
) -> Tensor:
    """Pair-wise frame dependency: how each pixel of frame t relates to each pixel of frame k.

    L = mean_ij (a_S,ij - a_T,ij)^2, a_ij = cos(f_t,i , f_k,j)

    Shape:
        student_t, student_k: (B, C_S, H, W), features or logits of the two frames.
        teacher_t, teacher_k: (B, C_T, H, W).
        valid_t, valid_k: (B, 1, H, W), bool, the pixels that count in each frame; None: all.
    Args:
        centre: subtract each pixel's mean over channels first. For logits, whose common offset means nothing and would
            change the cosine.
    Returns:
        Scalar, mean over the pairs of valid pixels. No gradient reaches the teacher.
    Source:
        Liu et al., ECCV 2020 (PF), in linear memory. The public code averages over the pairs, too, but divides the
        products by transposed norms. Centring. [ours]
    """
    if centre:
        student_t, student_k, teacher_t, teacher_k = map(_centred, (student_t, student_k, teacher_t, teacher_k))
    for student, teacher in ((student_t, teacher_t), (student_k, teacher_k)):
        check_same("inter_affinity", student, teacher, channels=False)
    columns = [_unit_columns(f, v) for f, v in ((student_t, valid_t), (student_k, valid_k))]
    columns += [_unit_columns(f, v) for f, v in ((teacher_t, valid_t), (teacher_k, valid_k))]
    return mean_over(
        _squared_distance(*columns), _pixels(student_t, valid_t) @ _pixels(student_k, valid_k), all_sum=all_sum
    )


@full_precision
def intra_affinity(
    student: Tensor, teacher: Tensor, valid: Tensor | None = None, centre: bool = False, all_sum: AllSum = local_sum
) -> Tensor:
    """Pair-wise affinity within a frame: `inter_affinity` of a frame with itself.

    L = mean_ij (a_S,ij - a_T,ij)^2, a_ij = cos(f_i, f_j)

    Shape:
        student: (B, C_S, H, W); teacher: (B, C_T, H, W); valid: (B, 1, H, W), bool, or None.
    Args:
        centre: see `inter_affinity`.
    Source:
        Liu et al., CVPR 2019 (SKD, pair-wise). The public code averages over pairs and batch, too, after max-pooling
        the features to half their size: its weight is ours.
    """
    if centre:
        student, teacher = _centred(student), _centred(teacher)
    check_same("intra_affinity", student, teacher, channels=False)
    x_s, x_t = _unit_columns(student, valid), _unit_columns(teacher, valid)
    pixels = _pixels(student, valid)
    return mean_over(_squared_distance(x_s, x_s, x_t, x_t), pixels @ pixels, all_sum=all_sum)


def _centred(logits: Tensor) -> Tensor:
    return logits - logits.mean(1, keepdim=True)


def _unit_columns(features: Tensor, valid: Tensor | None) -> Tensor:
    unit = F.normalize(features, dim=1)
    return (unit if valid is None else unit * valid).flatten(2)


def _pixels(features: Tensor, valid: Tensor | None) -> Tensor:
    if valid is None:
        return features.new_full((features.shape[0],), features.shape[2] * features.shape[3])
    return valid.flatten(1).sum(1).to(features.dtype)


def _squared_distance(x_s: Tensor, y_s: Tensor, x_t: Tensor, y_t: Tensor) -> Tensor:
    """sum_b ||X_S' Y_S - X_T' Y_T||_F^2, by whichever form is cheaper at this size; no gradient reaches the teacher."""
    if x_s.shape[-1] <= GRAM_PAYS_ABOVE * max(x_s.shape[1], x_t.shape[1]):
        return (x_s.mT @ y_s - (x_t.mT @ y_t).detach()).square().sum()
    distance: Tensor = _ByGramMatrices.apply(x_s, y_s, x_t, y_t)
    return distance


class _ByGramMatrices(Function):
    """With its gradient, d/dX_S = 2 (Y_S Y_S' X_S - Y_S Y_T' X_T), in half of the products that autograd would take."""

    @staticmethod
    def forward(ctx: Any, x_s: Tensor, y_s: Tensor, x_t: Tensor, y_t: Tensor) -> Tensor:
        of_x = x_s @ x_s.mT, x_s @ x_t.mT, x_t @ x_t.mT
        of_y = of_x if y_s is x_s and y_t is x_t else (y_s @ y_s.mT, y_s @ y_t.mT, y_t @ y_t.mT)
        ctx.save_for_backward(x_s, y_s, x_t, y_t, *of_x[:2], *of_y[:2])
        students, mixed, teachers = ((x * y).sum() for x, y in zip(of_x, of_y))
        # The exact value is not negative; near zero the difference of large terms may round below.
        return students + teachers - 2 * mixed

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x_s, y_s, x_t, y_t, x_ss, x_st, y_ss, y_st = ctx.saved_tensors
        of_x = 2 * grad * (y_ss @ x_s - y_st @ x_t)
        of_y = of_x if y_s is x_s and y_t is x_t else 2 * grad * (x_ss @ y_s - x_st @ y_t)
        return of_x, of_y, None, None
