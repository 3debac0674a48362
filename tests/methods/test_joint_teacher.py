"""Two networks as one teacher: what they say together, and who is asked when one alone is meant."""

from __future__ import annotations

import pytest
import torch

from temporalkd import losses
from temporalkd.data.source import Frame
from temporalkd.data.street import Street
from temporalkd.evaluation import network
from temporalkd.methods import Method, Step
from temporalkd.methods.spatial_terms import IntraAffinity, PixelKL
from temporalkd.methods.stckd import ROWS, stckd
from temporalkd.models import JointTeacher, freeze
from tests.tiny import clip, segmenter


def joint(**options: float) -> JointTeacher:
    return freeze(JointTeacher({"first": segmenter(seed=5), "second": segmenter(seed=6, width=12)}, **options))  # type: ignore[return-value, arg-type]


def test_together_they_say_the_fused_probabilities() -> None:
    frames = torch.rand(2, 3, 48, 64)
    for options in ({}, {"plain": True}, {"temperature": 0.1}):
        teacher = joint(**options)
        said = teacher(frames)
        probs = [branch(frames).native.softmax(1) for branch in teacher.branches.values()]
        expected = losses.fused_target(probs, options.get("temperature", 0.5), options.get("plain", False))
        torch.testing.assert_close(said.native.softmax(1), expected)
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
            return self.inner(torch.nn.functional.avg_pool2d(frames, 2))

    for order in (("a", "b"), ("b", "a")):
        networks = {"a": segmenter(seed=5), "b": Coarse()}
        said = JointTeacher({name: networks[name] for name in order})(torch.rand(1, 3, 48, 64))  # type: ignore[misc]
        assert said.native.shape[-2:] == (12, 16)
        torch.testing.assert_close(said.native.exp().sum(1), torch.ones(1, 12, 16))


def test_terms_ask_the_branch_that_is_meant() -> None:
    teacher, sample = joint(), clip(2)
    step = Step(sample, teacher)
    step.predict(segmenter())
    t = sample.anchor
    for name in ("first", "second"):
        alone = teacher.branches[name](sample.frames[0])
        expected = losses.pixel_kl(step.student.native(t), alone.native[t : t + 1])
        assert PixelKL(branch=name)(step).item() == pytest.approx(expected.item(), rel=1e-5)
        expected = losses.intra_affinity(step.student.feature("head", t), alone.features["head"][t : t + 1])
        assert IntraAffinity(branch=name)(step).item() == pytest.approx(expected.item(), rel=1e-5)
    assert PixelKL()(step).item() == pytest.approx(
        losses.pixel_kl_to_probs(step.student.native(t), step.teacher.probs(t)).item(), rel=1e-4
    )


def test_a_single_teacher_is_its_own_first_branch_and_has_no_second() -> None:
    Method(segmenter(), stckd(**ROWS["cnn"]), teacher=segmenter())
    for name in ("transformer", "both"):
        with pytest.raises(ValueError, match=r"branch 'second', there is none: set second_teacher"):
            Method(segmenter(), stckd(**ROWS[name]), teacher=segmenter())


def test_branches_of_other_classes_and_lonely_ones_are_refused() -> None:
    with pytest.raises(ValueError, match="of the same classes, got first 9, second 5"):
        JointTeacher({"first": segmenter(), "second": segmenter(5)})
    with pytest.raises(ValueError, match=r"two networks or more .* got first 9"):
        JointTeacher({"first": segmenter()})


def test_it_is_scored_like_any_network() -> None:
    street = Street(3, length=2, size=(48, 64))
    answer = network(joint())(Frame(street, 0))
    assert answer.map.shape == (48, 64) and answer.probs is not None
    torch.testing.assert_close(answer.probs.sum(0), torch.ones(48, 64))
