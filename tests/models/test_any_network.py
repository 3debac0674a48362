"""Segmenter around networks of any make: what they return, at what stride and size, and how they are scaled."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import segmentation_models_pytorch as smp
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

from temporalkd.models import Bare, Classifier, Normalisation, Segmenter
from tests.tiny import Tiny


class Returning(nn.Module):
    """A convolution of stride 4, whose output is wrapped."""

    def __init__(self, wrap: Callable[[Tensor], Any], classes: int = 5):
        super().__init__()
        self.wrap, self.last = wrap, nn.Conv2d(3, classes, 3, 4, 1)

    def forward(self, x: Tensor) -> Any:
        return self.wrap(self.last(x))


class Object:
    def __init__(self, logits: Tensor):
        self.logits = logits


WRAPS: dict[str, Callable[[Tensor], Any]] = {
    "tensor": lambda z: z,
    "out": lambda z: {"out": z, "aux": 2 * z},
    "logits": lambda z: {"logits": z},
    "tuple": lambda z: (z, "more"),
    "list": lambda z: [z],
    "object": Object,
}


@pytest.mark.parametrize("wrap", WRAPS.values(), ids=WRAPS)
def test_every_form_of_output_gives_the_same_logits(wrap: Callable[[Tensor], Any]) -> None:
    network = Returning(wrap)
    frames = torch.rand(2, 3, 32, 64)
    expected = network.last(frames)
    found = Segmenter(network, 5, normalisation="none")(frames)
    torch.testing.assert_close(found.native, expected)
    at_size = F.interpolate(expected, (32, 64), mode="bilinear", align_corners=False)
    torch.testing.assert_close(found.logits, at_size)
    assert (found.aux is not None) == (isinstance(wrap(expected), dict) and "aux" in wrap(expected))


def test_padding_is_cropped_from_native_logits() -> None:
    found = Segmenter(Returning(WRAPS["tensor"]), 5, normalisation="none")(torch.rand(1, 3, 30, 50))
    assert found.logits.shape[2:] == (30, 50)
    assert found.native.shape[2:] == (8, 13) and found.uncropped.shape[2:] == (8, 16)


@pytest.mark.parametrize("output", [{"masks": 1}, "text", (), torch.zeros(3, 5)])
def test_other_outputs_are_refused(output: Any) -> None:
    with pytest.raises(ValueError, match=r"the network returns .*expected logits \(N, C, H, W\)"):
        Segmenter(Returning(lambda z: output), 5, normalisation="none")(torch.rand(1, 3, 32, 32))


def test_other_class_count_is_refused() -> None:
    with pytest.raises(ValueError, match="gives 5 channels, classes is 7"):
        Segmenter(Returning(WRAPS["tensor"]), 7, normalisation="none")(torch.rand(1, 3, 32, 32))


def test_one_channel_is_two_classes() -> None:
    network, frames = Returning(WRAPS["tensor"], classes=1), torch.rand(1, 3, 32, 32)
    found = Segmenter(network, 2, normalisation="none")(frames)
    torch.testing.assert_close(found.native.softmax(1)[:, 1:], network.last(frames).sigmoid())
    sure = Segmenter(Returning(torch.sigmoid, classes=1), 2, normalisation="none", outputs="probabilities")
    sure.network.last = network.last
    torch.testing.assert_close(sure(frames).native.softmax(1), found.native.softmax(1))
    with pytest.raises(ValueError, match="one channel has two classes"):
        Segmenter(network, 1 + 2, normalisation="none")(frames)


def test_probabilities_become_logits_whose_softmax_they_are() -> None:
    frames = torch.rand(1, 3, 32, 32)
    network = Returning(lambda z: (50 * z).softmax(1))
    found = Segmenter(network, 5, normalisation="none", outputs="probabilities")(frames).native
    torch.testing.assert_close(found.softmax(1), network(frames), atol=1e-5, rtol=1e-4)
    found.sum().backward()
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in network.parameters())
    with pytest.raises(ValueError, match="outputs: 'scores'"):
        Segmenter(network, 5, normalisation="none", outputs="scores")  # type: ignore[arg-type]


def test_network_of_one_size() -> None:
    seen = []
    network = nn.Sequential(Returning(lambda z: z), nn.Identity())
    network.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].shape[2:]))
    student = Segmenter(network, 5, normalisation="none", input_size=(30, 40)).eval()
    found = student(torch.rand(1, 3, 50, 70))
    assert seen == [(30, 40)] and found.logits.shape[2:] == (50, 70) and found.native.shape[2:] == (8, 10)
    frame = torch.randint(0, 256, (3, 50, 70), dtype=torch.uint8)
    expected = student(frame[None] / 255).logits[0].argmax(0)
    assert (Classifier(student)(frame) == expected).float().mean() > 0.999


def test_deployed_network_reads_outputs_like_training() -> None:
    student = Segmenter(Returning(lambda z: {"logits": z}, 1), 2, normalisation="none").eval()
    x = torch.rand(1, 3, 32, 32)
    torch.testing.assert_close(Bare(student)(x), student(x).logits)


def test_normalisation_is_required_where_it_cannot_be_known() -> None:
    with pytest.raises(ValueError, match=r'normalisation: cannot be seen from outside of a Tiny.*"none".*"imagenet"'):
        Segmenter(Tiny(5), 5)
    with pytest.raises(ValueError, match="normalisation: 'cityscapes', expected"):
        Segmenter(Tiny(5), 5, normalisation="cityscapes")  # type: ignore[arg-type]


def test_normalisation_in_the_units_of_the_frames() -> None:
    frames = torch.rand(1, 3, 32, 32)
    student = Segmenter(Tiny(5), 5, normalisation=((0.5, 0.4, 0.3), (0.2, 0.2, 0.1)))
    mean, std = torch.tensor([0.5, 0.4, 0.3]).view(1, 3, 1, 1), torch.tensor([0.2, 0.2, 0.1]).view(1, 3, 1, 1)
    torch.testing.assert_close(student.prepare(frames), (frames - mean) / std)
    torch.testing.assert_close(Segmenter(Tiny(5), 5, normalisation="none").prepare(frames), frames)
    assert Segmenter(Tiny(5), 5, normalisation="imagenet").normalisation == Normalisation()


def test_known_families_are_looked_up_and_said(capsys: pytest.CaptureFixture[str]) -> None:
    unet = Segmenter(smp.Unet("resnet18", encoder_weights=None, classes=5), 5)
    assert set(unet.channels) == {"logits", "head", "fused", "low"}
    assert unet.normalisation == Normalisation()
    lraspp = torchvision.models.segmentation.lraspp_mobilenet_v3_large(
        weights=None, weights_backbone=None, num_classes=5
    )
    assert set(Segmenter(lraspp, 5).channels) == {"logits", "head", "fused", "low"}
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2 and "resnet18" in said[0] and "torchvision" in said[1]
    timm = Tiny(5)
    timm.pretrained_cfg = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}  # type: ignore[assignment]
    assert Segmenter(timm, 5).normalisation.mean == (127.5, 127.5, 127.5)
    with pytest.raises(ValueError, match="normalisation"):
        Segmenter(smp.Unet("xception", encoder_weights=None, classes=5), 5)


def test_head_is_guessed_where_one_convolution_gives_the_classes() -> None:
    assert Segmenter(Tiny(5), 5, normalisation="none").channels == {"logits": [5], "head": [8]}
    assert Segmenter(Tiny(8), 8, normalisation="none").channels == {"logits": [8]}
    assert Segmenter(Tiny(5), 5, {}, "none").channels == {"logits": [5]}


def test_image_processor_of_transformers_is_read_where_the_network_came_from(tmp_path: Path) -> None:
    kind = type("SomeForSegmentation", (Tiny,), {"__module__": "transformers.models.some"})
    network = kind(5)
    network.config = SimpleNamespace(_name_or_path=str(tmp_path))
    settings = {"do_normalize": True, "image_mean": [0.5, 0.4, 0.3], "image_std": [0.5, 0.5, 0.5]}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(settings))
    assert Segmenter(network, 5).normalisation.mean == (127.5, 102.0, 76.5)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"do_normalize": False}))
    assert Segmenter(network, 5).normalisation.std == (255.0, 255.0, 255.0)
    network.config = SimpleNamespace()
    with pytest.raises(ValueError, match="normalisation: cannot be seen"):
        Segmenter(network, 5)
