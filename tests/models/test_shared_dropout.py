"""What is dropped is the same in all frames of a clip, by whatever module or function."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from timm.layers import DropPath
from torch import Tensor, nn
from torchvision.ops import StochasticDepth, stochastic_depth

from temporalkd.data.clip import Clip, collate
from temporalkd.data.motion import MovedStill
from temporalkd.data.sampler import ClipSampler
from temporalkd.data.street import streets
from temporalkd.methods import DistillationContext
from temporalkd.methods.temporal_terms import MotionConsistency
from temporalkd.models import ModelSpec, SharedDropout, build

CLIPS, LENGTH = 3, 2


def by_rand(x: Tensor) -> Tensor:
    """As transformers drops paths."""
    return x * (torch.rand((x.shape[0],) + (1,) * (x.ndim - 1)) + 0.5).floor()


DROPPING: dict[str, Callable[[Tensor], Tensor]] = {
    "Dropout": nn.Dropout(0.5),
    "Dropout in place": nn.Dropout(0.5, inplace=True),
    "Dropout2d": nn.Dropout2d(0.5),
    "AlphaDropout": nn.AlphaDropout(0.5),
    "FeatureAlphaDropout": nn.FeatureAlphaDropout(0.5),
    "F.dropout": lambda x: F.dropout(x, 0.5),
    "F.dropout2d": lambda x: F.dropout2d(x, 0.5),
    "timm's DropPath": DropPath(0.5),
    "torchvision's StochasticDepth": StochasticDepth(0.5, "row"),
    "stochastic_depth": lambda x: stochastic_depth(x, 0.5, "row"),
    "rand": by_rand,
    "windows of a frame": lambda x: F.dropout(x.unflatten(2, (2, -1)).movedim(2, 1).flatten(0, 1), 0.5),
    "native": lambda x: torch.native_dropout(x, 0.5, True)[0],
}


@pytest.mark.parametrize("name", DROPPING)
def test_all_frames_of_a_clip_drop_the_same(name: str) -> None:
    x = torch.ones(CLIPS * LENGTH, 8, 4, 4)
    with SharedDropout(CLIPS, LENGTH):
        dropped = DROPPING[name](x.clone())
    clips = dropped.unflatten(0, (CLIPS, LENGTH, -1))
    assert torch.equal(clips[:, 0], clips[:, 1]), "within a clip"
    assert any(not torch.equal(a, b) for a, b in pairwise(clips[:, 0])), "but not between clips"
    assert dropped.unique().numel() == 2, "some are dropped, some are kept"


def test_without_it_frames_differ_and_beside_it_nothing_changes() -> None:
    x = torch.ones(CLIPS * LENGTH, 8, 4, 4)
    torch.manual_seed(1)
    plain = F.dropout2d(x, 0.5).unflatten(0, (CLIPS, LENGTH))
    assert not torch.equal(plain[:, 0], plain[:, 1])
    torch.manual_seed(1)
    with SharedDropout(CLIPS, 1):
        assert torch.equal(F.dropout2d(x[:CLIPS], 0.5), plain.flatten(0, 1)[:CLIPS]), "one frame a clip: as ever"
    with SharedDropout(CLIPS, LENGTH):
        odd = F.dropout(torch.ones(5, 100), 0.5)
        assert 0.3 < odd.ne(0).float().mean() < 0.7
        assert not torch.equal(odd[0], odd[1]), "what is not frame by frame keeps its own draw"


def test_the_gradient_is_that_of_the_mask() -> None:
    x = torch.ones(CLIPS * LENGTH, 8, 4, 4, requires_grad=True)
    with SharedDropout(CLIPS, LENGTH):
        dropped = nn.Dropout(0.25)(x)
    dropped.sum().backward()
    assert torch.equal(x.grad, dropped.detach())  # type: ignore[arg-type]


def moved_still() -> Clip:
    """Frames of streets and themselves, moved by a known motion."""
    stills = [
        MovedStill(street, 0, length=3, seed=number)
        for number, street in enumerate(streets(2, 5, length=1, size=(64, 96)))
    ]
    sampler = ClipSampler(stills, frames=2, gaps=(1, 1))
    return collate([sampler[i] for i in range(2)])


@pytest.mark.parametrize("shared", [True, False])
def test_motion_consistency_does_not_measure_dropout(shared: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """On stills moved exactly, all in eval mode but the dropout; with a mask a frame it would."""
    if not shared:
        monkeypatch.setattr("temporalkd.methods.context.SharedDropout", lambda clips, length: nullcontext())
    torch.manual_seed(0)
    widths = {"decoder_pyramid_channels": 64, "decoder_segmentation_channels": 32}
    arguments = {"encoder_name": "tu-mobilenetv3_small_050", "decoder_dropout": 0.2, **widths}
    student = build(ModelSpec("segmentation_models_pytorch.FPN", 9, arguments)).eval()
    student.network.segmentation_head[0].weight.data *= 20  # an untrained network is sure of nothing
    dropouts = [module for module in student.modules() if isinstance(module, nn.Dropout2d)]
    sample, term = moved_still(), MotionConsistency()

    def measured(dropping: bool) -> float:
        student.training = True  # its modules stay in eval mode
        for module in dropouts:
            module.train(dropping)
        values = []
        for _ in range(16 if dropping else 1):
            context = DistillationContext(sample)
            with torch.no_grad():
                context.predict(student)
                values.append(term(context).item())
        return sum(values) / len(values)

    ratio = measured(True) / measured(False)
    assert dropouts and ((ratio <= 1.1) if shared else (ratio > 1.2))
