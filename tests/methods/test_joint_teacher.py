"""Two networks as one teacher: what they say together, and who is asked when one alone is meant."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from temporalkd import losses
from temporalkd.data.source import Frame
from temporalkd.data.street import Street
from temporalkd.evaluation import network
from temporalkd.methods import STCKD, DistillationContext, Method
from temporalkd.methods.spatial_terms import IntraAffinity, PixelKL
from temporalkd.models import JointTeacher, freeze
from tests.tiny import clip, segmenter


def joint(**options: Any) -> JointTeacher:
    return freeze(JointTeacher({"first": segmenter(seed=5), "second": segmenter(seed=6, width=12)}, **options))  # type: ignore[return-value]


def test_together_they_say_the_fused_probabilities() -> None:
    frames = torch.rand(2, 3, 48, 64)
    errors = [0.5, 0.8]
    for options in ({}, {"fusion": "mean"}, {"temperature": 0.5}, {"fusion": "accuracy", "errors": errors}):
        teacher = joint(**options)
        said = teacher(frames)
        probs = [branch(frames).native.softmax(1) for branch in teacher.branches.values()]
        weights = losses.branch_weights(probs, options.get("temperature", 0.1), options.get("errors"))
        weights = torch.full_like(weights, 0.5) if options.get("fusion") == "mean" else weights
        torch.testing.assert_close(said.native.softmax(1), losses.fused_target(probs, weights))
        torch.testing.assert_close(torch.stack([said.shares["first"], said.shares["second"]]), weights)
        assert said.logits.shape == (2, 9, 48, 64)
    assert torch.equal(said.features["head"], teacher.first(frames).features["head"])
    assert torch.equal(said.branches["second"].native, teacher.branches["second"](frames).native)
    assert not said.native.requires_grad


def test_branches_of_other_strides_meet_at_the_finest() -> None:
    class Coarse(torch.nn.Module):
        """The same network at half its resolution."""

        def __init__(self) -> None:
            super().__init__()
            self.inner, self.classes = segmenter(seed=6), 9

        def forward(self, frames: torch.Tensor):  # type: ignore[no-untyped-def]
            said = self.inner(torch.nn.functional.avg_pool2d(frames, 2))
            return replace(said, logits=torch.nn.functional.interpolate(said.logits, frames.shape[-2:]))

    for order in (("a", "b"), ("b", "a")):
        networks = {"a": segmenter(seed=5), "b": Coarse()}
        said = JointTeacher({name: networks[name] for name in order})(torch.rand(1, 3, 48, 64))  # type: ignore[misc]
        assert said.native.shape[-2:] == (12, 16)
        torch.testing.assert_close(said.native.exp().sum(1), torch.ones(1, 12, 16))
        assert said.logits.shape[-2:] == (48, 64)


def test_terms_ask_the_branch_that_is_meant() -> None:
    teacher, sample = joint(), clip(2)
    context = DistillationContext(sample, teacher)
    context.predict(segmenter())
    t = sample.anchor
    for name in ("first", "second"):
        alone = teacher.branches[name](sample.frames[0])
        expected = losses.pixel_kl(context.student.native(t), alone.native[t : t + 1])
        assert PixelKL(branch=name)(context).item() == pytest.approx(expected.item(), rel=1e-5)
        expected = losses.intra_affinity(context.student.feature("head", t), alone.features["head"][t : t + 1])
        share = teacher(sample.frames[0]).shares[name].mean()
        assert 0 < share < 1
        assert IntraAffinity(branch=name)(context).item() == pytest.approx((share * expected).item(), rel=1e-5)
    assert PixelKL()(context).item() == pytest.approx(
        losses.pixel_kl_to_probs(context.student.native(t), context.teacher.probs(t)).item(), rel=1e-4
    )


def test_a_single_teacher_is_its_own_first_branch_and_has_no_second() -> None:
    Method(segmenter(), STCKD(**STCKD.rows["cnn"]).losses(), teacher=segmenter())
    for name in ("transformer", "both"):
        with pytest.raises(ValueError, match=r"branch 'second', there is none: set second_teacher"):
            Method(segmenter(), STCKD(**STCKD.rows[name]).losses(), teacher=segmenter())


def test_branches_of_other_classes_and_lonely_ones_are_refused() -> None:
    with pytest.raises(ValueError, match="of the same classes, got first 9, second 5"):
        JointTeacher({"first": segmenter(), "second": segmenter(5)})
    with pytest.raises(ValueError, match=r"two networks or more .* got first 9"):
        JointTeacher({"first": segmenter()})
    with pytest.raises(ValueError, match="one error a branch, got None"):
        joint(fusion="accuracy")


def test_a_branch_that_is_certain_and_wrong_is_not_heard() -> None:
    """By certainty alone it would outvote the better one."""
    labels = torch.randint(3, (1, 20, 30))
    right = torch.nn.functional.one_hot(labels, 3).movedim(-1, 1) * 2.0
    better, worse = right.softmax(1), (6 * right.roll(1, 1)).softmax(1)
    errors = [float(losses.cross_entropy(p.log(), labels)) for p in (better, worse)]
    for given, share in ((None, 0.0), (errors, 1.0)):
        fused = losses.fused_target([better, worse], losses.branch_weights([better, worse], errors=given))
        assert (fused.argmax(1) == labels).float().mean().item() == share


def test_it_is_scored_like_any_network() -> None:
    street = Street(3, length=2, size=(48, 64))
    answer = network(joint())(Frame(street, 0))
    assert answer.map.shape == (48, 64) and answer.probs is not None
    torch.testing.assert_close(answer.probs.sum(0), torch.ones(48, 64))
