"""The view that losses have of a clip: each thing computed once, only when asked for, and in the right pixels."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from flow import in_frame, resize_flow
from flow import visible as forward_backward_check
from temporalkd.data.clip import Augment, Clip
from temporalkd.methods import ClipPrediction, DistillationContext
from temporalkd.models import Prediction
from tests.tiny import Counting, Played, clip, segmenter

FULL = (48, 64)


def still(flow: tuple[float, float], size: tuple[int, int] = (8, 12), backward: Tensor | None = None) -> Clip:
    """Two grey frames with a constant motion between them."""
    forward = torch.tensor(flow).view(1, 1, 2, 1, 1).expand(1, 1, 2, *size).contiguous()
    return Clip(
        frames=torch.full((1, 2, 3, *size), 0.5),
        labels=torch.full((1, 2, *size), 255),
        labelled=torch.zeros(1, 2, dtype=torch.bool),
        valid=torch.ones(1, 2, 1, *size, dtype=torch.bool),
        anchor=0,
        pairs=[(0, 1)],
        flow=forward,
        backward=-forward if backward is None else backward,
    )


def test_teacher_runs_once_and_only_when_asked() -> None:
    teacher = Counting(segmenter())
    context = DistillationContext(clip(3, 2), teacher)
    context.predict(segmenter(seed=1))
    _ = context.student.logits(0), context.motion(0, FULL)
    assert teacher.calls == 0
    first = context.teacher.native(0)
    assert torch.equal(first, context.teacher.native(0)) and teacher.calls == 1
    assert not first.requires_grad


def test_student_runs_once_on_all_frames() -> None:
    student = Counting(segmenter().eval())
    sample = clip(3, 2)
    context = DistillationContext(sample)
    context.predict(student)
    assert student.calls == 1
    for b in range(2):
        for t in range(3):
            alone = student.inner(sample.frames[b, t : t + 1])
            torch.testing.assert_close(context.student.logits(t)[b], alone.logits[0], rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(
                context.student.feature("head", t)[b], alone.features["head"][0], rtol=1e-4, atol=1e-5
            )  # type: ignore[index]


def test_networks_see_the_frames_given_and_the_flow_the_clips_own() -> None:
    sample = replace(clip(2), flow=None, backward=None, visible=None)
    seen: list[Tensor] = []

    class Watch(Played):
        def encode(self, frames: Tensor) -> Tensor:
            seen.append(frames)
            return frames

    coloured = sample.frames * 0.5
    context = DistillationContext(sample, None, Watch([torch.zeros(1, 2, *FULL)] * 2), coloured)
    network = segmenter().eval()
    context.predict(network)
    context.motion(0, FULL)
    torch.testing.assert_close(context.student.logits(1), network(coloured[:, 1]).logits, rtol=1e-4, atol=1e-5)
    assert torch.equal(seen[0], sample.frames[:, 0]) and torch.equal(seen[1], sample.frames[:, 1])


def test_flow_is_estimated_once_both_ways_and_only_when_asked() -> None:
    sample = replace(clip(3), flow=None, backward=None, visible=None)
    estimator = Played([torch.full((1, 2, *FULL), float(i)) for i in range(4)])
    context = DistillationContext(sample, None, estimator)
    context.predict(segmenter())
    assert estimator.asked == 0
    for size in (FULL, (12, 16), (12, 16)):
        assert float(context.motion(0, size).flow.max()) == pytest.approx(0)
        assert float(context.motion(1, size).flow.max()) == pytest.approx(2 * size[0] / 48)
    assert estimator.asked == 4 and context.motion(1, (12, 16)) is context.motion(1, (12, 16))


def test_exact_motion_asks_no_estimator() -> None:
    estimator = Played([])
    sample = clip(3)
    assert torch.equal(DistillationContext(sample, None, estimator).motion(1, FULL).flow, sample.flow[:, 1])  # type: ignore[index]


@pytest.mark.parametrize("batch", [1, 2])
def test_live_flow_equals_exact_flow(batch: int) -> None:
    exact = clip(3, batch, gaps=(2, 2))
    assert exact.flow is not None and exact.backward is not None
    flows = [f for p in range(2) for f in (exact.flow[:, p], exact.backward[:, p])]
    live = DistillationContext(replace(exact, flow=None, backward=None, visible=None), None, Played(flows))
    known = DistillationContext(replace(exact, visible=None))
    for size in (FULL, (12, 16)):
        for pair in range(2):
            a, b = live.motion(pair, size), known.motion(pair, size)
            assert torch.equal(a.flow, b.flow) and torch.equal(a.visible, b.visible)
            assert 0.1 < a.visible.float().mean() < 1
    assert torch.equal(live.motion(0, FULL).visible, forward_backward_check(flows[0], flows[1]))


def test_motion_is_in_pixels_of_the_size_asked_for() -> None:
    context = DistillationContext(still((4.0, -2.0)))
    motion = context.motion(0, (4, 3))
    assert torch.allclose(motion.flow[:, 0], torch.tensor(1.0)) and torch.allclose(
        motion.flow[:, 1], torch.tensor(-1.0)
    )
    sample = clip(2)
    expected = resize_flow(sample.flow[:, 0], (12, 16))  # type: ignore[index]
    torch.testing.assert_close(DistillationContext(sample).motion(0, (12, 16)).flow, expected)
    with pytest.raises(AssertionError):
        torch.testing.assert_close(
            expected,
            F.interpolate(sample.flow[:, 0], (12, 16), mode="bilinear", antialias=True),  # type: ignore[index]
        )


def test_what_leaves_the_frame_is_not_visible() -> None:
    seen = DistillationContext(still((4.0, 0.0))).motion(0, (8, 12)).visible[0, 0]
    assert seen[:, :8].all() and not seen[:, 8:].any()
    small = DistillationContext(still((4.0, 0.0))).motion(0, (4, 6)).visible[0, 0]
    assert small[:, :4].all() and not small[:, 4:].any()
    smaller = DistillationContext(still((1.0, 0.0))).motion(0, (2, 3)).visible[0, 0]
    assert smaller[:, :2].all() and not smaller[:, 2].any(), "a quarter of a pixel beyond the small frame's last one"
    claimed = replace(still((4.0, 0.0)), visible=torch.ones(1, 1, 1, 8, 12, dtype=torch.bool))
    assert torch.equal(DistillationContext(claimed).motion(0, (8, 12)).visible[0, 0], seen)


def test_what_does_not_come_back_is_not_visible() -> None:
    backward = torch.zeros(1, 1, 2, 8, 12)
    backward[..., 0, :, :] = -2
    backward[..., 0, :, 5] = 9
    seen = DistillationContext(still((2.0, 0.0), backward=backward)).motion(0, (8, 12)).visible[0, 0, 0]
    assert seen.tolist() == [column + 2 <= 11 and column + 2 != 5 for column in range(12)]


def test_padded_pixels_of_either_frame_are_not_visible() -> None:
    sample = still((2.0, 0.0))
    sample.valid[0, 0, 0, 0] = False  # the anchor's first row
    sample.valid[0, 1, 0, :, 6] = False  # the neighbour's column 6, seen from column 4
    seen = DistillationContext(sample).motion(0, (8, 12)).visible[0, 0]
    expected = torch.ones(8, 12, dtype=torch.bool)
    expected[0], expected[:, 10:], expected[:, 4] = False, False, False
    assert torch.equal(seen, expected)


def test_padding_by_augmentation_is_never_visible_nor_valid() -> None:
    sample = clip(3, augment=Augment(crop=(64, 80), flip=False))
    context = DistillationContext(sample)
    assert not sample.valid.all()
    for pair in range(2):
        seen = context.motion(pair, (64, 80)).visible
        assert seen.any() and not (seen & ~sample.valid[:, 1]).any()
        assert not (seen & ~in_frame(sample.flow[:, pair])).any()  # type: ignore[index]
    assert torch.equal(context.valid(1, (64, 80)), sample.valid[:, 1])
    small = context.valid(1, (16, 20))
    assert small.float().mean() == pytest.approx(float(sample.valid.float().mean()), abs=0.06)


def test_prediction_picks_the_frame() -> None:
    number = torch.arange(6.0).view(6, 1, 1, 1).expand(6, 2, 3, 4)  # b * 3 + t
    prediction = Prediction(number, number + 100, number, number + 200, {"head": number + 300, "low": [number]})
    picked = ClipPrediction(prediction, 3)
    for t in range(3):
        wanted = torch.tensor([t, t + 3.0])
        assert torch.equal(picked.logits(t)[:, 0, 0, 0], wanted)
        assert torch.equal(picked.native(t)[:, 0, 0, 0], wanted + 100)
        assert torch.equal(picked.aux(t)[:, 0, 0, 0], wanted + 200)  # type: ignore[index]
        assert torch.equal(picked.feature("head", t)[:, 0, 0, 0], wanted + 300)
        assert torch.equal(picked.feature("logits", t), picked.native(t))
    for role, problem in (
        ("low", "single feature of role 'low', it has: logits, head$"),
        ("fused", "feature of role 'fused'"),
    ):
        with pytest.raises(ValueError, match=f"the network has no {problem}"):
            picked.feature(role, 0)


def test_probs_are_the_softmax_in_full_precision() -> None:
    native = torch.randn(2, 5, 3, 4)
    half = ClipPrediction(Prediction(native, native.bfloat16(), native), 2).probs(1)
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, native[1:].bfloat16().float().softmax(1))
    double = native.double()
    assert ClipPrediction(Prediction(double, double, double), 2).probs(0).dtype == torch.float64


def test_neighbours_are_all_but_the_anchor() -> None:
    assert DistillationContext(clip(3)).neighbours == [0, 2]
    assert DistillationContext(clip(2)).neighbours == [1]
    assert DistillationContext(clip(1)).neighbours == []


def test_what_is_missing_is_named() -> None:
    sample = replace(clip(2), flow=None, backward=None, visible=None)
    with pytest.raises(ValueError, match=r"needs motion.*set flow"):
        DistillationContext(sample).motion(0, FULL)
    with pytest.raises(ValueError, match=r"distils from a teacher.*teacher\.weights"):
        _ = DistillationContext(sample).teacher
