"""The contract of every network, and the libraries and callables behind it."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from temporalkd.models import ModelSpec, Normalisation, Segmenter, build, freeze
from temporalkd.plugins import allow
from tests.tiny import ROLES, Tiny, segmenter

MEAN, STD = (100.0, 110.0, 120.0), (50.0, 60.0, 70.0)
SMP = "segmentation_models_pytorch."


def by_hand(frames: Tensor, divisor: int) -> Tensor:
    """(255 RGB - mean) / std, then zeros at the bottom and on the right."""
    x = (255 * frames - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    n, c, h, w = x.shape
    padded = torch.zeros(n, c, math.ceil(h / divisor) * divisor, math.ceil(w / divisor) * divisor)
    padded[..., :h, :w] = x
    return padded


@pytest.mark.parametrize("size", [(37, 51), (32, 64), (1, 5)], ids=str)
def test_normalises_pads_and_crops_as_by_hand(size: tuple[int, int]) -> None:
    network = Tiny(5).eval()
    system = Segmenter(network, 5, ROLES, Normalisation(MEAN, STD, divisor=16)).eval()
    frames = torch.rand(2, 3, *size)
    x = by_hand(frames, 16)
    torch.testing.assert_close(system.prepare(frames), x, rtol=0, atol=1e-5)
    prediction = system(frames)
    torch.testing.assert_close(prediction.logits, network(x)[..., : size[0], : size[1]], rtol=1e-4, atol=1e-5)
    rows, columns = math.ceil(size[0] / 4), math.ceil(size[1] / 4)
    native = network.classifier(network.body(x))
    torch.testing.assert_close(prediction.uncropped, native, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(prediction.native, native[..., :rows, :columns], rtol=1e-4, atol=1e-5)


def test_logits_are_the_native_ones_upsampled() -> None:
    prediction = segmenter().eval()(torch.rand(1, 3, 48, 64))
    expected = F.interpolate(prediction.native, (48, 64), mode="bilinear", align_corners=False)
    torch.testing.assert_close(prediction.logits, expected)


def test_roles_give_outputs_inputs_and_items() -> None:
    class Pyramid(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Conv2d(3, 4, 3, 2, 1)
            self.split = Split()
            self.classifier = nn.Conv2d(4, 6, 1)

        def forward(self, x: Tensor) -> Tensor:
            levels = self.split(self.stem(x))
            return F.interpolate(self.classifier(levels[0] + 1), scale_factor=2.0)

    class Split(nn.Module):
        def forward(self, x: Tensor) -> list[Tensor]:
            return [x, F.avg_pool2d(x, 2), F.avg_pool2d(x, 4)]

    network = Pyramid().eval()
    roles = {"native": "classifier", "head": "<classifier", "fused": "split[2]", "low": ["stem", "split[1]"]}
    frames = torch.rand(2, 3, 20, 28)
    system = Segmenter(network, 6, roles, Normalisation(divisor=8))
    features = system(frames).features
    stem = network.stem(system.prepare(frames))
    close = torch.testing.assert_close
    close(features["head"], (stem + 1)[..., :10, :14])
    close(features["fused"], F.avg_pool2d(stem, 4)[..., :3, :4])
    assert isinstance(features["low"], list) and len(features["low"]) == 2
    close(features["low"][0], stem[..., :10, :14])
    close(features["low"][1], F.avg_pool2d(stem, 2)[..., :5, :7])
    assert "native" not in features


def test_features_carry_gradients_for_a_student_and_none_for_a_frozen_teacher() -> None:
    frames = torch.rand(1, 3, 16, 16)
    student = segmenter()
    head = student(frames).features["head"]
    assert isinstance(head, Tensor)
    head.sum().backward()
    assert student.network.body[0].weight.grad.norm() > 0
    teacher = freeze(segmenter())
    assert not teacher(frames).features["head"].requires_grad
    assert not any(m.training for m in teacher.modules())


def test_unknown_role_lists_the_nearest_names() -> None:
    with pytest.raises(ValueError, match=r"no module 'clasifier'; the nearest names are: classifier"):
        Segmenter(Tiny(5), 5, {"native": "clasifier"}, "imagenet")
    with pytest.raises(ValueError, match=r"no module '<body\.99'.*body\."):
        Segmenter(Tiny(5), 5, {"native": "classifier", "head": "<body.99"}, "imagenet")


def test_state_dict_is_the_networks_own() -> None:
    bare = Tiny(5)
    names = list(bare.state_dict())
    system = Segmenter(Tiny(5), 5, ROLES, "imagenet")
    system(torch.rand(1, 3, 32, 32))
    assert list(system.network.state_dict()) == names
    assert list(system.state_dict()) == [f"network.{name}" for name in names]


def test_a_failing_forward_leaves_nothing_for_the_next_one() -> None:
    class Fails(Tiny):
        broken = False

        def forward(self, x: Tensor) -> Tensor:
            out = super().forward(x)
            if self.broken:
                raise RuntimeError("stop")
            return out

    network = Fails(5)
    system = Segmenter(network, 5, ROLES, Normalisation(divisor=8)).eval()
    frames = torch.rand(1, 3, 16, 16)
    expected = system(frames).native
    network.broken = True
    with pytest.raises(RuntimeError):
        system(1 - frames)
    assert not system._seen
    network.broken = False
    assert torch.equal(system(frames).native, expected)


NETWORKS: list[tuple[str, dict[str, Any]]] = [
    (f"{SMP}Unet", {"encoder_name": "resnet18", "encoder_depth": 3, "decoder_channels": [16, 8, 8]}),
    (f"{SMP}Unet", {"encoder_name": "tu-tf_efficientnet_lite0"}),
    (f"{SMP}UnetPlusPlus", {"encoder_name": "resnet18", "encoder_depth": 3, "decoder_channels": [16, 8, 8]}),
    (f"{SMP}Linknet", {"encoder_name": "resnet18"}),
    (f"{SMP}FPN", {"encoder_name": "resnet18", "decoder_pyramid_channels": 16, "decoder_segmentation_channels": 32}),
    (f"{SMP}PSPNet", {"encoder_name": "resnet18", "psp_out_channels": 16}),
    (f"{SMP}PAN", {"encoder_name": "resnet18"}),
    (f"{SMP}DeepLabV3", {"encoder_name": "resnet18", "decoder_channels": 16}),
    (f"{SMP}DeepLabV3Plus", {"encoder_name": "resnet18", "decoder_channels": 16}),
    (f"{SMP}UPerNet", {"encoder_name": "resnet18", "decoder_channels": 16}),
    (f"{SMP}Segformer", {"encoder_name": "mit_b0"}),
    ("torchvision.lraspp_mobilenet_v3_large", {}),
    ("torchvision.deeplabv3_mobilenet_v3_large", {}),
    ("torchvision.fcn_resnet50", {"aux_loss": True}),
]


@pytest.mark.parametrize(("architecture", "arguments"), NETWORKS, ids=lambda v: v if isinstance(v, str) else "")
def test_libraries_fulfil_the_contract(architecture: str, arguments: dict[str, Any]) -> None:
    system = build(ModelSpec(architecture, 5, arguments)).eval()
    height, width = (130, 150) if architecture.endswith("PAN") else (45, 70)  # its pooling needs 128 pixels
    frames = torch.rand(1, 3, height, width)
    with torch.no_grad():
        prediction = system(frames)
        out = system.network(system.prepare(frames))
    out = out if isinstance(out, Tensor) else out["out"]
    torch.testing.assert_close(prediction.logits, out[..., :height, :width])
    small = F.interpolate(prediction.uncropped, out.shape[-2:], mode="bilinear", align_corners=False)
    corners = F.interpolate(prediction.uncropped, out.shape[-2:], mode="bilinear", align_corners=True)
    assert min((small - out).abs().max(), (corners - out).abs().max()) < 1e-4 * (1 + out.abs().max())
    head = prediction.features["head"]
    assert isinstance(head, Tensor) and head.shape[1] != 5 and head.std() > 0
    assert (prediction.aux is not None) == bool(arguments.get("aux_loss"))
    if architecture.startswith(SMP):
        low = prediction.features["low"]
        assert isinstance(low, list)
        heights = [level.shape[-2] for level in low]
        assert len(low) >= 2 and heights == sorted(heights, reverse=True)


def test_aux_head_learns_from_its_own_logits() -> None:
    system = build(ModelSpec("torchvision.fcn_resnet50", 3, {"aux_loss": True})).eval()
    prediction = system(torch.rand(1, 3, 33, 40))
    assert prediction.aux is not None and prediction.aux.shape == prediction.logits.shape
    prediction.aux.sum().backward()
    assert system.network.aux_classifier[4].weight.grad.norm() > 0
    assert system.network.classifier[4].weight.grad is None


def test_a_callable_of_the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "garage.py").write_text(
        "from tests.tiny import Tiny, ROLES\n"
        "from temporalkd.models import Segmenter\n"
        "def bare(classes, width=6): return Tiny(classes, width)\n"
        "def whole(classes): return Segmenter(Tiny(classes), classes, ROLES, 'imagenet')\n"
        "number = 3\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    allow(["garage"])
    system = build(ModelSpec("garage:bare", 7, {"width": 10}, roles=dict(ROLES)))
    assert system.network.classifier.in_channels == 10 and system.classes == 7
    assert build(ModelSpec("garage:whole", 4)).roles == ROLES
    with pytest.raises(ValueError, match=r"garage:bare has no argument 'widht', did you mean width\?"):
        build(ModelSpec("garage:bare", 7, {"widht": 10}, roles=dict(ROLES)))
    with pytest.raises(ValueError, match="'classes' is not an argument"):
        build(ModelSpec("garage:bare", 7, {"classes": 3}, roles=dict(ROLES)))
    with pytest.raises(ValueError, match="'garage:number' is not callable"):
        build(ModelSpec("garage:number", 7))
    with pytest.raises(ValueError, match="import 'garage:missing'"):
        build(ModelSpec("garage:missing", 7))
    with pytest.raises(ValueError, match="import 'no_such_garage:x'"):
        build(ModelSpec("no_such_garage:x", 7))
    sys.modules.pop("garage", None)


@pytest.mark.parametrize(
    ("architecture", "arguments", "message"),
    [
        (f"{SMP}FNP", {}, r"no 'FNP', did you mean .*FPN"),
        ("torchvision.lraspp_mobilenet_v3_larg", {}, "did you mean lraspp_mobilenet_v3_large"),
        ("mmseg.FPN", {}, r"unknown architecture 'mmseg\.FPN', expected segmentation_models_pytorch\.NAME"),
        (f"{SMP}FPN", {"encoder_name": "resnet19"}, "resnet19"),
        (f"{SMP}FPN", {"encoder_name": "tu-no_such_encoder"}, "no_such_encoder"),
        (f"{SMP}FPN", {"decoder_segmentation_channels": 8}, r"FPN\(.*num_groups"),
        (f"{SMP}FPN", {"encoder_weights": "imagenet"}, "'encoder_weights' is not an argument"),
        (f"{SMP}FPN", {"decoder_pyramid_chanels": 16}, "did you mean decoder_pyramid_channels"),
        ("torchvision.lraspp_mobilenet_v3_large", {"num_classes": 3}, "'num_classes' is not an argument"),
    ],
)
def test_mistakes_are_named(architecture: str, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(ModelSpec(architecture, 5, arguments))


def test_a_deep_copy_reads_its_own_features() -> None:
    original = segmenter().eval()
    frames = torch.rand(1, 3, 48, 64)
    averaged = torch.optim.swa_utils.AveragedModel(original)  # copies its module
    with torch.no_grad():
        for weight in averaged.parameters():
            weight.zero_()
        before = original(frames)
        torch.testing.assert_close(averaged(frames).native, torch.zeros_like(before.native))
    torch.testing.assert_close(original(frames).native, before.native)
