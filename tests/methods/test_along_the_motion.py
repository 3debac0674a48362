"""What follows the motion beside the losses: steady targets, carried labels, condensation by disagreement."""

from __future__ import annotations

import pytest
import torch

from temporalkd import losses
from temporalkd.methods import Method, Step, Weighted
from temporalkd.methods.prototype_terms import PrototypeTriplet
from temporalkd.methods.spatial_terms import Condensation, CrossEntropy, PixelKL
from temporalkd.models import freeze
from tests.tiny import clip, segmenter

FULL = (48, 64)


def step_of(frames: int, steady: bool = False, batch: int = 2) -> Step:
    step = Step(clip(frames, batch), freeze(segmenter(seed=5)), steady=steady)
    step.predict(segmenter(seed=1).eval())
    return step


@pytest.mark.parametrize("frames", [2, 3])
def test_motion_is_known_from_the_anchor_to_each_neighbour_and_back(frames: int) -> None:
    step = step_of(frames)
    anchor = step.clip.anchor
    assert [k for k, _ in step.along(anchor, FULL)] == step.neighbours
    for p, k in enumerate(step.neighbours):
        ((other, (flow, visible)),) = step.along(k, FULL)
        assert other == anchor and step.clip.backward is not None
        assert torch.equal(flow, step.clip.backward[:, p])
        assert 0.5 < visible.float().mean() < 1, "what leaves the frame is not visible from it"


def test_steady_targets_are_the_mean_of_the_losses_own() -> None:
    plain, steady = step_of(3), step_of(3, steady=True)
    size, t = (12, 16), plain.clip.anchor
    for frame in range(3):
        expected = [
            losses.steady_teacher(plain.teacher.probs(frame), plain.teacher.probs(k), *motion)
            for k, motion in plain.along(frame, size)
        ]
        torch.testing.assert_close(steady.teacher.probs(frame), torch.stack(expected).mean(0), rtol=1e-4, atol=1e-6)
    changes = [
        losses.disagreement(s.teacher.probs(t), s.teacher.probs(k), *motion).mean()
        for s in (plain, steady)
        for k, motion in s.along(t, size)
    ]
    assert sum(changes[2:]) < 0.7 * sum(changes[:2]), "they flicker less"
    assert torch.equal(steady.teacher.feature("head", 0), plain.teacher.feature("head", 0))
    assert PixelKL()(plain).item() != pytest.approx(PixelKL()(steady).item(), rel=1e-3)


def test_a_frame_without_neighbours_is_as_steady_as_it_is() -> None:
    alone, plain = step_of(1, steady=True), step_of(1)
    torch.testing.assert_close(alone.teacher.probs(0), plain.teacher.probs(0))


def test_steady_targets_need_a_neighbour() -> None:
    with pytest.raises(ValueError, match=r"steady targets need clips of 2 frames, data.frames is 1"):
        Method(segmenter(), [Weighted("ce", CrossEntropy())], teacher=segmenter(), frames=1, steady=True)
    assert Method(segmenter(), [Weighted("ce", CrossEntropy())], segmenter(), steady=True).step(clip(2)).steady


def test_labels_are_carried_to_where_they_have_gone() -> None:
    step = step_of(3)
    own = step.clip.labels.clone()
    step.clip.labelled[:, step.neighbours] = False
    for k in step.neighbours:
        assert torch.equal(step_of(3).labels(k), own[:, k]), "a frame's own labels are better than carried ones"
        carried = step.labels(k)
        known = (carried != 255) & (own[:, k] != 255)
        assert known.float().mean() > 0.6
        assert (carried == own[:, k])[known].float().mean() > 0.95
        ((_, (_, visible)),) = step.along(k, FULL)
        assert bool((carried[~visible[:, 0]] == 255).all())


def test_prototypes_of_a_clip_pool_all_its_frames() -> None:
    step = step_of(3)
    ours, theirs = ([side.feature("head", t) for t in range(3)] for side in (step.student, step.teacher))
    labels = torch.cat([step.labels(t) for t in range(3)])
    expected = losses.prototype_triplet(torch.cat(ours), torch.cat(theirs), labels, 9)
    term = PrototypeTriplet(clip=True)
    assert term.frames == 2 and term(step).item() == pytest.approx(expected.item(), rel=1e-5)
    assert term(step).item() != pytest.approx(PrototypeTriplet()(step).item(), rel=1e-4)


def test_several_roles_count_alike_and_distances_are_watched() -> None:
    step = step_of(1)
    head, low = (PrototypeTriplet(role)(step).item() for role in ("head", "low"))
    both = PrototypeTriplet(["head", "low"])(step).item()
    assert both == pytest.approx((head + 2 * low) / 3, rel=1e-5), "low has two layers"
    seen = PrototypeTriplet().observed(step)
    expected = losses.prototype_distances(
        step.student.feature("head", 0), step.teacher.feature("head", 0), step.clip.labels[:, 0], 9
    )
    assert [float(seen[key]) for key in ("intra", "student_inter", "teacher_inter")] == [float(v) for v in expected]


def test_a_batch_without_two_classes_is_skipped_and_counted() -> None:
    term, step = PrototypeTriplet(), step_of(1)
    assert term(step).item() > 0 and term.skipped == 0
    step.clip.labels[step.clip.labels != 0] = 255
    assert term(step).item() == 0
    term(step).backward()
    assert float(term.observed(step)["skipped"]) == 2
    term.eval()(step)
    assert term.skipped == 2 and "skipped" in term.state_dict()


def test_what_the_teacher_disagrees_on_with_itself_counts_less() -> None:
    step, term = step_of(2), Condensation(temporal=True)
    assert term.frames == 2
    t, size = step.clip.anchor, (12, 16)
    ((k, motion),) = step.along(t, size)
    difference = losses.disagreement(step.teacher.probs(t), step.teacher.probs(k), *motion)
    visible = motion.visible
    assert bool((difference[~visible] == 0).all()) and 0 < difference.max() <= 1
    expected = losses.condensed_kl(
        step.student.native(t), step.teacher.native(t), step.valid(t, size), disagreement=difference
    ).total
    assert term(step).item() == pytest.approx(expected.item(), rel=1e-6)
    assert term(step).item() != pytest.approx(Condensation()(step).item(), rel=1e-4)
