"""A training step makes its tensors where the student is."""

from __future__ import annotations

import pytest
import torch

from temporalkd.methods import ETC, Method
from tests.tiny import clip, segmenter


def test_every_tensor_of_a_step_is_on_the_students_device() -> None:
    """What is made without saying where lands on torch's default device; here that is another one than the student's.

    The backward pass is left out: autograd itself makes gradients where their tensors are.
    """
    method = Method(segmenter(seed=1), ETC().losses(), teacher=segmenter(seed=0), frames=3)
    method.prepare([clip(3, 2)])
    device = next(method.student.parameters()).device
    sample = clip(3, 2).to(device)
    with torch.device("meta"):
        with pytest.raises(RuntimeError):
            _ = torch.zeros(3) + sample.frames.flatten()[:3]
        context = method.context(sample)
        found = {**method.losses(context), **{f"labels {t}": context.labels(t) for t in range(3)}}
    for pair, (_, other) in enumerate(sample.pairs):
        found |= {
            f"flow {pair}": context.motion(pair, (12, 16)).flow,
            f"seen {pair}": context.motion(pair, (12, 16)).visible,
        }
        found |= {f"student {other}": context.student.logits(other), f"teacher {other}": context.teacher.logits(other)}
    assert len(found) > 14 and {tensor.device for tensor in found.values()} == {device}
