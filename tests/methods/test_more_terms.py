"""The terms beside ETC's: what they read, that a perfect student pays nothing, and the rows of feature condensation."""

from __future__ import annotations

import pytest
import torch

from temporalkd import losses
from temporalkd.methods import FCKD, TERMS, DistillationContext, Method, WeightedLoss
from temporalkd.methods.spatial_terms import Condensation
from temporalkd.methods.temporal_terms import TeacherResidual
from temporalkd.models import freeze
from tests.tiny import clip, segmenter


def context_of(student: int, teacher: int, frames: int = 3) -> DistillationContext:
    context = DistillationContext(clip(frames, 2), freeze(segmenter(seed=teacher)))  # type: ignore[arg-type]
    context.predict(segmenter(seed=student).eval())
    return context


@pytest.mark.parametrize(
    "name", ["channel_kl", "attention", "dkd", "intra_class_variation", "condensation", "intra_affinity"]
)
def test_a_perfect_student_pays_nothing(name: str) -> None:
    assert TERMS[name]()(context_of(0, 0)).item() == pytest.approx(0, abs=1e-5)
    assert TERMS[name]()(context_of(1, 0)).item() > 1e-4


def test_the_residual_is_that_of_the_teacher_or_of_its_average_along_the_motion() -> None:
    plain, averaged = TeacherResidual(flow_averaged=False), TeacherResidual()
    assert plain(context_of(0, 0)).item() == pytest.approx(0, abs=1e-5), "a student that flickers as its teacher does"
    assert averaged(context_of(0, 0)).item() > 1e-4
    context = context_of(1, 0)
    t = context.clip.anchor
    expected = []
    for k, motion in context.along(t, context.student.probs(t).shape[2:]):
        sides = (
            context.student.probs(t),
            context.student.probs(k),
            context.flow_averaged().probs(t),
            context.flow_averaged().probs(k),
        )
        expected.append(losses.teacher_residual(*sides, *motion).item())
    assert averaged(context).item() == pytest.approx(sum(expected) / len(expected), rel=1e-6)


def test_terms_read_what_their_losses_are_given_by_hand() -> None:
    context = context_of(1, 0)
    t = context.clip.anchor
    student, teacher, labels = context.student.native(t), context.teacher.native(t), context.clip.labels[:, t]
    valid = context.valid(t, teacher.shape[-2:])
    expected = {
        "channel_kl": losses.channel_kl(student, teacher, valid),
        "dkd": losses.dkd(student, teacher, labels),
        "condensation": losses.condensed_kl(student, teacher, valid).total,
    }
    for name, value in expected.items():
        assert TERMS[name]()(context).item() == pytest.approx(value.item(), rel=1e-6), name
    values = []
    for p, (a, b) in enumerate(context.clip.pairs):
        probs = context.student.probs(a)
        flow, visible = context.motion(p, (probs.shape[2], probs.shape[3]))
        values.append(losses.semantic_consistency(probs, context.student.probs(b), flow, visible))
    assert TERMS["semantic_consistency"]()(context).item() == pytest.approx(torch.stack(values).mean().item(), rel=1e-6)


def test_terms_along_the_motion_need_a_neighbour() -> None:
    for name in ("teacher_residual", "semantic_consistency"):
        with pytest.raises(ValueError, match=f"'{name}' needs clips of 2 frames"):
            Method(segmenter(), [WeightedLoss(name, TERMS[name]())], teacher=segmenter(), frames=1)


def test_without_condensation_and_enhancement_it_is_pixel_kl() -> None:
    context = context_of(1, 0)
    plain = Condensation(condense="none", spatial=False, channel=False)
    assert plain(context).item() == pytest.approx(TERMS["pixel_kl"]()(context).item(), rel=1e-5)


def test_every_row_of_the_ablation_is_another_loss() -> None:
    rows = [
        {"condense": "none", "spatial": False, "channel": False},
        {"condense": "teacher", "spatial": False, "channel": False},
        {"condense": "both", "spatial": False, "channel": False},
        {"condense": "both", "spatial": True, "channel": False},
        {"condense": "both", "spatial": True, "channel": True},
        {"condense": "both", "spatial": True, "channel": True, "mode": "control"},
        {"condense": "both", "spatial": True, "channel": True, "enhance": "teacher"},
    ]
    context = context_of(1, 0)
    values = [round(FCKD(**row).losses()[1].term(context).item(), 6) for row in rows]  # type: ignore[arg-type, operator]
    assert len(set(values)) == len(rows)


def test_the_weight_over_channels_is_linear() -> None:
    context = context_of(1, 0)
    none, one, three = (
        FCKD(channel_weight=weight).losses()[1].term(context).item()  # type: ignore[union-attr]
        for weight in (0.0, 1.0, 3.0)
    )
    assert three - none == pytest.approx(3 * (one - none), rel=1e-4) and one > none
