"""What follows the motion beside the losses: flow-averaged targets, carried labels, condensation by disagreement."""

from __future__ import annotations

import pytest
import torch

from temporalkd import losses
from temporalkd.methods import DistillationContext, Method, WeightedLoss
from temporalkd.methods.prototype_terms import PrototypeTriplet
from temporalkd.methods.spatial_terms import Condensation, CrossEntropy, PixelKL
from temporalkd.models import freeze
from tests.tiny import clip, segmenter

FULL = (48, 64)


def context_of(frames: int, flow_averaged_teacher: bool = False, batch: int = 2) -> DistillationContext:
    context = DistillationContext(
        clip(frames, batch), freeze(segmenter(seed=5)), flow_averaged_teacher=flow_averaged_teacher
    )
    context.predict(segmenter(seed=1).eval())
    return context


@pytest.mark.parametrize("frames", [2, 3])
def test_motion_is_known_from_the_anchor_to_each_neighbour_and_back(frames: int) -> None:
    context = context_of(frames)
    anchor = context.clip.anchor
    assert [k for k, _ in context.along(anchor, FULL)] == context.neighbours
    for p, k in enumerate(context.neighbours):
        ((other, (flow, visible)),) = context.along(k, FULL)
        assert other == anchor and context.clip.backward is not None
        assert torch.equal(flow, context.clip.backward[:, p])
        assert 0.5 < visible.float().mean() < 1, "what leaves the frame is not visible from it"


def test_flow_averaged_targets_are_the_mean_of_the_losses_own() -> None:
    plain, averaged = context_of(3), context_of(3, flow_averaged_teacher=True)
    size, t = (12, 16), plain.clip.anchor
    for frame in range(3):
        expected = [
            losses.flow_averaged_teacher(plain.teacher.probs(frame), plain.teacher.probs(k), *motion)
            for k, motion in plain.along(frame, size)
        ]
        torch.testing.assert_close(averaged.teacher.probs(frame), torch.stack(expected).mean(0), rtol=1e-4, atol=1e-6)
    changes = [
        losses.disagreement(s.teacher.probs(t), s.teacher.probs(k), *motion).mean()
        for s in (plain, averaged)
        for k, motion in s.along(t, size)
    ]
    assert sum(changes[2:]) < 0.7 * sum(changes[:2]), "they flicker less"
    assert torch.equal(averaged.teacher.feature("head", 0), plain.teacher.feature("head", 0))
    assert PixelKL()(plain).item() != pytest.approx(PixelKL()(averaged).item(), rel=1e-3)


def test_a_frame_without_neighbours_is_as_steady_as_it_is() -> None:
    alone, plain = context_of(1, flow_averaged_teacher=True), context_of(1)
    torch.testing.assert_close(alone.teacher.probs(0), plain.teacher.probs(0))


def test_flow_averaged_targets_need_a_neighbour() -> None:
    with pytest.raises(ValueError, match=r"flow-averaged targets need clips of 2 frames, data.frames is 1"):
        Method(
            segmenter(), [WeightedLoss("ce", CrossEntropy())], teacher=segmenter(), frames=1, flow_averaged_teacher=True
        )
    assert (
        Method(segmenter(), [WeightedLoss("ce", CrossEntropy())], segmenter(), flow_averaged_teacher=True)
        .context(clip(2))
        .flow_averaged_teacher
    )


def test_labels_are_carried_to_where_they_have_gone() -> None:
    context = context_of(3)
    own = context.clip.labels.clone()
    context.clip.labelled[:, context.neighbours] = False
    for k in context.neighbours:
        assert torch.equal(context_of(3).labels(k), own[:, k]), "a frame's own labels are better than carried ones"
        carried = context.labels(k)
        known = (carried != 255) & (own[:, k] != 255)
        assert known.float().mean() > 0.6
        assert (carried == own[:, k])[known].float().mean() > 0.95
        ((_, (_, visible)),) = context.along(k, FULL)
        assert bool((carried[~visible[:, 0]] == 255).all())


def test_prototypes_of_a_clip_pool_all_its_frames() -> None:
    context = context_of(3)
    ours, theirs = ([side.feature("head", t) for t in range(3)] for side in (context.student, context.teacher))
    labels = torch.cat([context.labels(t) for t in range(3)])
    expected = losses.prototype_triplet(torch.cat(ours), torch.cat(theirs), labels, 9)
    term = PrototypeTriplet(clip=True)
    assert term.frames == 2 and term(context).item() == pytest.approx(expected.item(), rel=1e-5)
    assert term(context).item() != pytest.approx(PrototypeTriplet()(context).item(), rel=1e-4)


def test_several_roles_count_alike_and_distances_are_watched() -> None:
    context = context_of(1)
    head, low = (PrototypeTriplet(role)(context).item() for role in ("head", "low"))
    both = PrototypeTriplet(["head", "low"])(context).item()
    assert both == pytest.approx((head + 2 * low) / 3, rel=1e-5), "low has two layers"
    seen = PrototypeTriplet().observed(context)
    expected = losses.prototype_distances(
        context.student.feature("head", 0), context.teacher.feature("head", 0), context.clip.labels[:, 0], 9
    )
    assert [float(seen[key]) for key in ("intra", "student_inter", "teacher_inter")] == [float(v) for v in expected]


def test_a_batch_without_two_classes_is_skipped_and_counted() -> None:
    term, context = PrototypeTriplet(), context_of(1)
    assert term(context).item() > 0 and term.skipped == 0
    context.clip.labels[context.clip.labels != 0] = 255
    assert term(context).item() == 0
    term(context).backward()
    assert float(term.observed(context)["skipped"]) == 2
    term.eval()(context)
    assert term.skipped == 2 and "skipped" in term.state_dict()


def test_what_the_teacher_disagrees_on_with_itself_counts_less() -> None:
    context, term = context_of(2), Condensation(temporal=True)
    assert term.frames == 2
    t, size = context.clip.anchor, (12, 16)
    ((k, motion),) = context.along(t, size)
    difference = losses.disagreement(context.teacher.probs(t), context.teacher.probs(k), *motion)
    visible = motion.visible
    assert bool((difference[~visible] == 0).all()) and 0 < difference.max() <= 1
    expected = losses.condensed_kl(
        context.student.native(t), context.teacher.native(t), context.valid(t, size), disagreement=difference
    ).total
    assert term(context).item() == pytest.approx(expected.item(), rel=1e-6)
    assert term(context).item() != pytest.approx(Condensation()(context).item(), rel=1e-4)
