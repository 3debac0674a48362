"""The moving average of the weights, and the student that it teaches."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from temporalkd.methods import Method, WeightedLoss, footage, kd
from temporalkd.methods.average import MovingAverage
from temporalkd.methods.mean_teacher import MeanTeacher
from temporalkd.methods.spatial_terms import CrossEntropy, PixelKL
from temporalkd.models import Segmenter
from tests.tiny import clip, segmenter


def test_the_average_is_that_of_the_weights_since_the_start() -> None:
    student = segmenter(seed=1)
    average = MovingAverage(student, 0.3)
    weight = student.network.get_parameter("classifier.weight")
    expected, values = weight.detach().double(), [0.1, 2 / 11, 0.25, 0.3, 0.3]  # min(0.3, (1 + n) / (10 + n))
    for decay in values:
        with torch.no_grad():
            weight += torch.rand_like(weight)
        average.update(student)
        expected = decay * expected + (1 - decay) * weight.double()
        torch.testing.assert_close(average.student.network.get_parameter("classifier.weight").double(), expected)
    assert int(average.updates) == len(values)


def test_buffers_are_copied_and_nothing_is_trained() -> None:
    student = Segmenter(nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)), 4, normalisation="none")
    average = MovingAverage(student, 0.99)
    student.train()(torch.rand(2, 3, 8, 8))
    average.train()
    average.update(student)
    for name, buffer in student.network.named_buffers():
        assert torch.equal(buffer, average.student.network.get_buffer(name)), name
    assert not any(module.training for module in average.modules())
    assert not any(parameter.requires_grad for parameter in average.parameters())
    with pytest.raises(ValueError, match=r"1\.0, expected at least 0 and less than 1"):
        MovingAverage(student, 1.0)


def test_a_loop_of_ones_own_gets_the_average() -> None:
    method = kd(segmenter(seed=1), segmenter(seed=2))
    assert method.best_student() is method.student
    method.keep_average(0.9)
    optimiser = torch.optim.SGD(method.parameters(), lr=0.1)
    start = method.student.network.get_parameter("classifier.weight").detach().clone()
    method.training_step(clip(1)).loss.backward()
    optimiser.step()
    method.after_step()
    now, averaged = (s.network.get_parameter("classifier.weight") for s in (method.student, method.best_student()))
    assert not torch.equal(now, start)
    torch.testing.assert_close(averaged, 0.1 * start + 0.9 * now)
    again = kd(segmenter(seed=3), segmenter(seed=2))
    again.keep_average(0.9)
    again.load_state_dict(method.state_dict())
    torch.testing.assert_close(again.best_student().network.get_parameter("classifier.weight"), averaged)


def mean_teacher(labelled: float = 0.0, **options: object) -> Method:
    method = Method(segmenter(seed=1), [WeightedLoss("own", MeanTeacher(labelled=labelled, **options))])  # type: ignore[arg-type]
    method._modules.averages[0].student.load_state_dict(segmenter(seed=5).state_dict())  # type: ignore[union-attr]
    return method


def value(method: Method, frames: Tensor | None = None, labelled: tuple[bool, ...] = (False, False)) -> Tensor:
    given = clip(2, batch=2)
    given = replace(given, labelled=torch.tensor([[flag, False] for flag in labelled]))
    return method.losses(method.context(given, frames))["own"]


def test_the_target_is_the_averages_prediction_of_both_frames() -> None:
    method, other, frames = mean_teacher(), segmenter(seed=5).eval(), clip(2, batch=2).frames
    found = value(method)
    expected = []
    for t in range(2):
        with torch.no_grad():
            target = other(frames[:, t]).native.log_softmax(1)
        said = method.student(frames[:, t]).native.log_softmax(1)
        expected.append(F.kl_div(said, target, log_target=True, reduction="none").sum(1).mean())
    torch.testing.assert_close(found, sum(expected))
    found.backward()
    assert all(p.grad is None for p in method._modules.averages.parameters())
    assert any(p.grad is not None and p.grad.abs().max() > 0 for p in method.student.parameters())


def test_the_average_sees_the_frame_before_jitter() -> None:
    method, jittered = mean_teacher(), clip(2, batch=2).frames * 0.5
    asked: list[Tensor] = []
    network = method._modules.average(0)
    network.register_forward_pre_hook(lambda module, inputs: asked.append(inputs[0]))
    value(method, jittered)
    assert len(asked) == 1 and torch.equal(asked[0], clip(2, batch=2).frames.flatten(0, 1))


def test_clips_with_labels_are_left_out_or_counted() -> None:
    alone = mean_teacher()
    asked: list[int] = []
    alone._modules.average(0).register_forward_pre_hook(lambda module, inputs: asked.append(len(inputs[0])))
    first, second = (value(alone, labelled=flags) for flags in ((False, True), (True, False)))
    assert asked == [2, 2], "two frames of one clip"
    torch.testing.assert_close(value(alone), (first + second) / 2)
    nothing = value(alone, labelled=(True, True))
    nothing.backward()
    assert nothing.item() == 0 and len(asked) == 3
    third = value(mean_teacher(labelled=0.5), labelled=(False, True))
    torch.testing.assert_close(third, (first + 0.5 * second) / 1.5)


def test_views_of_the_average() -> None:
    plain, mirrored = mean_teacher(), mean_teacher(flip=True)
    frames = clip(2, batch=2).frames
    symmetric = torch.cat([frames, frames.flip(-1)], -1)
    given = replace(clip(2, batch=2), frames=symmetric, labelled=torch.zeros(2, 2, dtype=torch.bool))
    given = replace(given, valid=torch.ones(2, 2, 1, *symmetric.shape[-2:], dtype=torch.bool))
    values = [m.losses(m.context(given))["own"].item() for m in (plain, mirrored)]
    assert values[0] != pytest.approx(values[1], rel=1e-4), "a strided network is not symmetric: views differ"
    with pytest.raises(ValueError, match="1 among them"):
        MeanTeacher(scales=[0.5])


def test_pixel_kl_of_footage_alone() -> None:
    def kl(labelled: float, flags: tuple[bool, bool]) -> Tensor:
        term = WeightedLoss("own", PixelKL(labelled=labelled))
        return value(Method(segmenter(seed=1), [term], segmenter(seed=2)), labelled=flags)

    first, second, both = kl(0, (False, True)), kl(0, (True, False)), kl(1, (True, False))
    torch.testing.assert_close(both, (first + second) / 2)
    assert kl(0, (True, True)).item() == 0
    assert not Method(segmenter(), [WeightedLoss("a", PixelKL(labelled=0))], segmenter()).teaches_labelled
    assert kd(segmenter(), segmenter()).teaches_labelled


def test_two_targets_pull_as_their_mixture() -> None:
    """0.5 KL(p || s) + 0.5 KL(q || s) and KL((p + q) / 2 || s) differ by what does not depend on the student."""
    teacher, own = segmenter(seed=2), segmenter(seed=5)
    method = footage(segmenter(seed=1), teacher, flip=False, ramps={"mean_teacher": {"start": 0, "end": 0}})
    method._modules.averages[0].student.load_state_dict(own.state_dict())  # type: ignore[union-attr]
    given = replace(clip(1, batch=2), labelled=torch.zeros(2, 1, dtype=torch.bool))
    given = replace(given, labels=torch.full_like(given.labels, 255))
    method.training_step(given).loss.backward()
    pulls = [p.grad.clone() for p in method.student.parameters() if p.grad is not None]
    method.student.zero_grad()
    frames = given.frames[:, 0]
    with torch.no_grad():
        mixture = sum(n.eval()(frames).native.softmax(1) for n in (teacher, own)) / 2  # type: ignore[operator]
    (-(mixture * method.student(frames).native.log_softmax(1)).sum(1).mean()).backward()
    for pull, parameter in zip(pulls, method.student.parameters()):
        assert parameter.grad is not None
        torch.testing.assert_close(pull, parameter.grad, rtol=1e-3, atol=1e-6)


def test_footage_without_a_teacher_and_its_terms() -> None:
    assert list(footage(segmenter()).terms) == ["cross_entropy", "mean_teacher"]
    made = footage(segmenter(), segmenter(seed=2), motion=0.3)
    assert list(made.terms) == ["cross_entropy", "pixel_kl", "mean_teacher", "motion_consistency"]
    late = made.terms["motion_consistency"]
    assert [late.at(p) for p in (0.3, 0.55, 0.8)] == pytest.approx([0, 0.15, 0.3])
    assert isinstance(made.terms["cross_entropy"].term, CrossEntropy) and not made.teaches_labelled
