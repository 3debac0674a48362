"""Teachers of several views and of several networks."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import temporalkd as tkd
from temporalkd.data.image_folder import FrameFolder
from temporalkd.metrics import SegmentationScore
from temporalkd.models import (
    JointTeacher,
    MultiView,
    Segmenter,
    evaluating,
    fingerprint,
    freeze,
    load_segmenter,
    to_store,
)
from tests.tiny import segmenter


class Pointwise(nn.Module):
    """Each pixel's class from its own colour: mirrored and resized frames give mirrored and resized answers."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)


def pointwise(seed: int = 0) -> Segmenter:
    torch.manual_seed(seed)
    return Segmenter(Pointwise(), classes=4, normalisation="none")


def smooth(height: int = 48, width: int = 64) -> Tensor:
    y, x = torch.meshgrid(torch.linspace(0, 3, height), torch.linspace(0, 3, width), indexing="ij")
    return torch.stack([x.sin(), y.cos(), (x + y).sin()])[None] / 2 + 0.5


@torch.no_grad()
def test_one_view_is_the_network_itself() -> None:
    network, frames = segmenter().eval(), torch.rand(2, 3, 45, 61)
    plain, seen = network(frames), tkd.views(network, flip=False, scales=(1,))(frames)
    torch.testing.assert_close(seen.logits.softmax(1), plain.logits.softmax(1))
    torch.testing.assert_close(seen.native.softmax(1), plain.native.softmax(1))
    assert seen.features.keys() == plain.features.keys()


@torch.no_grad()
def test_views_are_brought_back_onto_the_frame() -> None:
    """Of a network that sees each pixel alone every view says the same: the average is the plain view."""
    network, frames = pointwise(), smooth()
    plain = network(frames).logits.softmax(1)
    torch.testing.assert_close(tkd.views(network, scales=(1,))(frames).logits.softmax(1), plain)
    every = tkd.views(network, scales=(0.5, 1, 1.25))(frames).logits.softmax(1)
    inner = (..., slice(4, -4), slice(4, -4))
    torch.testing.assert_close(every[inner], plain[inner], atol=2e-3, rtol=0)


@torch.no_grad()
def test_mirrored_views_make_it_symmetric() -> None:
    teacher = MultiView(segmenter(classes=5).eval(), flip=True, scales=(1.0, 1.5))
    frames = torch.rand(1, 3, 48, 64)
    torch.testing.assert_close(teacher(frames.flip(-1)).logits.flip(-1), teacher(frames).logits, atol=1e-4, rtol=1e-4)
    assert teacher.count == 4


def test_scales_without_the_plain_view_are_refused() -> None:
    with pytest.raises(ValueError, match=r"scales: \[0.5\].*1 among them"):
        tkd.views(segmenter(), scales=(0.5,))


@torch.no_grad()
def test_an_ensemble_is_the_mean_of_its_networks() -> None:
    networks, frames = [pointwise(seed) for seed in range(3)], torch.rand(2, 3, 16, 24)
    said = tkd.ensemble(*networks)(frames).logits.softmax(1)
    mean = torch.stack([network(frames).logits.softmax(1) for network in networks]).mean(0)
    torch.testing.assert_close(said, mean)
    seen = tkd.views(tkd.ensemble(*networks), scales=(1,))
    assert isinstance(seen, JointTeacher) and all(isinstance(b, MultiView) for b in seen.networks.values())
    torch.testing.assert_close(seen(frames).logits.softmax(1), mean)
    with pytest.raises(ValueError, match="two networks or more"):
        tkd.ensemble(networks[0])


def test_fingerprints_tell_weights_and_views_apart() -> None:
    network, same, other = segmenter(), segmenter(), segmenter(seed=1)
    prints = [fingerprint(n) for n in (network, other, tkd.views(network), tkd.views(network, flip=False))]
    assert len(set(prints)) == 4
    assert fingerprint(same) == prints[0]


@torch.no_grad()
def test_a_clone_has_weights_and_hooks_of_its_own() -> None:
    network, frames = segmenter().eval(), torch.rand(1, 3, 48, 64)
    twin = network.clone()
    before = network(frames)
    for parameter in twin.parameters():
        parameter.zero_()
    assert torch.equal(network(frames).logits, before.logits)
    features = twin(frames).features
    assert features.keys() == before.features.keys() and not bool(features["head"].any())  # type: ignore[union-attr]


@pytest.mark.real
def test_six_views_of_the_shipped_teacher_are_more_accurate(data_root: Path) -> None:
    """On 4 frames of the CamVid clip; on all 101 of them 71.2 -> 72.4."""
    network = freeze(load_segmenter(data_root / "weights/camvid_fpn_lite2.safetensors")[0])
    camvid = data_root / "data/camvid"
    source = FrameFolder(camvid / "val", camvid / "valannot", classes=11, void=11)
    scores = []
    for teacher in (network, tkd.views(network)):
        score = SegmentationScore(11)
        for index in (0, 30, 60, 90):
            frame, label = source.frame(index)[None].float() / 255, source.label(index)
            with torch.inference_mode():
                score.update(teacher(frame).logits[0].argmax(0).byte(), label)
        scores.append(float(score.compute()["miou"]))
    assert scores[1] > scores[0] + 0.003


def test_a_store_has_what_a_network_says_in_eval_mode() -> None:
    network = segmenter(dropout=0.5).eval()
    seen = MultiView(network)  # made in training mode, as every module is
    frames = torch.rand(1, 3, 48, 64)
    expected = MultiView(network).eval()(frames).logits.softmax(1)
    network.train()
    torch.testing.assert_close(to_store(seen)(frames), expected)
    assert network.training


def test_what_is_evaluated_gets_its_own_modes_back() -> None:
    network = segmenter(dropout=0.5).eval()
    seen = MultiView(network)
    with pytest.raises(KeyError), evaluating(seen):
        assert not any(part.training for part in seen.modules())
        raise KeyError
    assert seen.training and not any(part.training for part in network.modules())
