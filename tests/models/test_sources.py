"""Networks of other libraries by name: from local folders, never from the network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import segmentation_models_pytorch as smp
import torch
import torch.nn.functional as F
from torch import nn

from temporalkd.models import (
    MappedClasses,
    Segmenter,
    class_targets,
    load_segmenter,
    open_source,
    save_segmenter,
)
from temporalkd.models.universal import MaskClassifier

PROCESSOR = {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.2, 0.2], "rescale_factor": 1 / 255}
SEGFORMER = {
    "hidden_sizes": [8] * 4,
    "num_attention_heads": [1] * 4,
    "depths": [1] * 4,
    "decoder_hidden_size": 16,
}
VIT = {"hidden_size": 16, "num_hidden_layers": 4, "num_attention_heads": 2, "intermediate_size": 16}


def kept(model: Any, folder: Path) -> str:
    """`model` saved as transformers does, with its image processor's file."""
    torch.manual_seed(0)
    model.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(PROCESSOR))
    return f"hf:{folder}"


@pytest.fixture
def transformers() -> Any:
    return pytest.importorskip("transformers")


def segformer(transformers: Any, names: tuple[str, ...] = ("road", "car", "sky")) -> Any:
    config = transformers.SegformerConfig(id2label=dict(enumerate(names)), **SEGFORMER)
    return transformers.SegformerForSemanticSegmentation(config)


def networks(t: Any) -> dict[str, Any]:
    stages = ["stage1", "stage2", "stage3", "stage4"]
    dinov2 = t.Dinov2Config(
        image_size=28, patch_size=14, out_indices=[1, 2, 3, 4], **{**VIT, "intermediate_size": None}
    )
    head = {"hidden_size": 16, "auxiliary_channels": 8, "auxiliary_in_channels": 16, "num_labels": 5}
    queries = {"num_queries": 6, "num_labels": 5}
    swin = t.SwinConfig(embed_dim=8, depths=[1] * 4, num_heads=[1] * 4, window_size=2, out_features=stages)
    widths = {"hidden_dim": 32, "feature_size": 32, "mask_feature_size": 32, "num_attention_heads": 2}
    layers = {"encoder_layers": 1, "decoder_layers": 2, "encoder_feedforward_dim": 16, "dim_feedforward": 16}
    eomt = {**VIT, "image_size": 32, "patch_size": 8, "num_blocks": 1, "num_upscale_blocks": 1, **queries}
    dpt = {"image_size": 32, "patch_size": 16, "backbone_out_indices": [0, 1, 2, 3], "neck_hidden_sizes": [8] * 4}
    return {
        "upernet": t.UperNetForSemanticSegmentation(t.UperNetConfig(backbone_config=dinov2, **head)),
        "dpt": t.DPTForSemanticSegmentation(t.DPTConfig(**VIT, **dpt, fusion_hidden_size=8, num_labels=5)),
        "mask2former": t.Mask2FormerForUniversalSegmentation(
            t.Mask2FormerConfig(backbone_config=swin, **widths, **layers, **queries)
        ),
        "eomt": t.EomtForUniversalSegmentation(t.EomtConfig(**{k: v for k, v in eomt.items() if k[:5] != "inter"})),
        "eomt_dinov3": t.EomtDinov3ForUniversalSegmentation(t.EomtDinov3Config(**eomt)),
    }


def test_segformer_gives_what_transformers_computes(transformers: Any, tmp_path: Path) -> None:
    model = segformer(transformers).eval()
    network, spec = open_source(kept(model, tmp_path))
    frames = torch.rand(1, 3, 64, 96)
    mean, std = (torch.tensor(PROCESSOR[key]).view(1, 3, 1, 1) for key in ("image_mean", "image_std"))
    found = network.eval()(frames)
    torch.testing.assert_close(found.native, model((frames - mean) / std).logits)
    assert spec.class_names == ("road", "car", "sky")
    assert [tuple(f.shape[1:]) for f in found.features["low"]] == [(8, 16, 24), (8, 8, 12), (8, 4, 6), (8, 2, 3)]


@pytest.mark.parametrize("name", ["upernet", "dpt", "mask2former", "eomt", "eomt_dinov3"])
def test_segmenters_of_any_kind_take_frames_of_any_size_and_come_back(
    transformers: Any, tmp_path: Path, name: str
) -> None:
    network, spec = open_source(kept(networks(transformers)[name], tmp_path))
    frames = torch.rand(2, 3, 60, 96)
    logits = network.eval()(frames).logits
    assert logits.shape == (2, 5, 60, 96) and bool(logits.isfinite().all())
    save_segmenter(network, spec, tmp_path / "student.safetensors", {})
    again, _ = load_segmenter(tmp_path / "student.safetensors")
    torch.testing.assert_close(again.eval()(frames).logits, logits)


class Queries(nn.Module):
    """Fixed class and mask logits, as an object; masks are the frame's first channel."""

    def __init__(self, classes: torch.Tensor):
        super().__init__()
        self.classes = classes

    def forward(self, x: torch.Tensor) -> Any:
        masks = F.avg_pool2d(x[:, :1], 4).repeat(1, self.classes.shape[0], 1, 1)
        return type(
            "Out", (), {"class_queries_logits": self.classes.expand(len(x), -1, -1), "masks_queries_logits": masks}
        )


def test_scores_of_mask_queries_are_their_semantic_inference(transformers: Any) -> None:
    model = Queries(torch.randn(6, 6))
    x = torch.randn(2, 3, 32, 48)
    found = MaskClassifier(model)(x)
    processor = transformers.MaskFormerImageProcessor()
    expected = processor.post_process_semantic_segmentation(model(x), target_sizes=[(8, 12)] * 2)
    torch.testing.assert_close(found.argmax(1), torch.stack(expected))


@pytest.mark.parametrize("size", [(32, 80), (80, 32), (32, 32)])
def test_windows_agree_with_the_whole_where_masks_are_local(size: tuple[int, int]) -> None:
    model, x = Queries(torch.randn(3, 4)), torch.randn(1, 3, *size)
    torch.testing.assert_close(MaskClassifier(model, side=32)(x), MaskClassifier(model)(x))


def test_a_backbone_has_features_and_no_classes(transformers: Any, tmp_path: Path) -> None:
    config = transformers.Dinov2Config(hidden_size=16, num_hidden_layers=8, num_attention_heads=2, patch_size=14)
    network, _ = open_source(kept(transformers.Dinov2Model(config), tmp_path))
    found = network.eval()(torch.rand(1, 3, 60, 96))
    assert network.classes == 0 and found.logits.shape[1] == 0
    assert [tuple(f.shape[1:]) for f in found.features["low"]] == [(16, 5, 7)] * 4
    torch.testing.assert_close(found.features["head"], found.features["low"][-1])


def test_an_encoder_teaches_features_and_is_refused_for_logits(transformers: Any, tmp_path: Path) -> None:
    import temporalkd as tkd
    from temporalkd.methods import Method, WeightedLoss
    from temporalkd.methods.spatial_terms import ChannelKL, PixelKL

    config = transformers.Dinov2Config(hidden_size=16, num_hidden_layers=4, num_attention_heads=2, patch_size=14)
    teacher = tkd.load_teacher(kept(transformers.Dinov2Model(config), tmp_path))
    student = Segmenter(nn.Conv2d(3, 4, 3, padding=1), 4, normalisation="none")
    with pytest.raises(ValueError, match="an encoder"):
        Method(student, [WeightedLoss("kl", PixelKL())], teacher)
    net = nn.Sequential(nn.Conv2d(3, 8, 3, 4, 1), nn.Conv2d(8, 4, 1))
    student = Segmenter(net, 4, {"low": ["0"]}, "none")
    method = Method(student, [WeightedLoss("channels", ChannelKL("low"))], teacher)
    out = method.training_step(torch.rand(2, 1, 3, 56, 84), torch.zeros(2, 56, 84, dtype=torch.long))
    out.loss.backward()
    assert net[0].weight.grad is not None and float(net[0].weight.grad.norm()) > 0


def test_smp_folder(tmp_path: Path) -> None:
    network = smp.FPN("resnet18", encoder_weights=None, classes=4, decoder_segmentation_channels=32).eval()
    network.save_pretrained(str(tmp_path))
    found, spec = open_source(f"smp:{tmp_path}")
    x = torch.rand(1, 3, 64, 64)
    torch.testing.assert_close(found.eval().network(x), network(x))
    assert spec.classes == 4


def test_torchvision_from_its_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision import models

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    name = "lraspp_mobilenet_v3_large"
    with pytest.raises(FileNotFoundError, match=f"temporalkd download torchvision:{name}"):
        open_source(f"torchvision:{name}")
    torch.manual_seed(1)
    network = models.get_model(name, weights=None, weights_backbone=None).eval()
    (tmp_path / "checkpoints").mkdir()
    weights = models.get_model_weights(name).DEFAULT
    torch.save(network.state_dict(), tmp_path / "checkpoints" / Path(weights.url).name)
    found, spec = open_source(f"torchvision:{name}")
    x = torch.rand(1, 3, 64, 64)
    torch.testing.assert_close(found.eval().network(x)["out"], network(x)["out"])
    assert spec.class_names[15] == "person"


def test_timm_encoder_from_its_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub
    import timm
    from safetensors.torch import save_file

    file = tmp_path / "model.safetensors"
    save_file(timm.create_model("resnet18", pretrained=False).state_dict(), file)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda *_, local_files_only: str(file))
    network, _ = open_source("timm:resnet18")
    found = network.eval()(torch.rand(1, 3, 64, 64))
    assert [f.shape[1] for f in found.features["low"]] == [64, 64, 128, 256, 512]


@pytest.mark.parametrize("name", ["hf:nobody/nothing", "smp:nobody/nothing", "timm:resnet50"])
def test_nothing_is_downloaded_without_being_asked(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"temporalkd download"):
        open_source(name)


def test_equal_names_are_joined_whatever_their_order_and_case() -> None:
    assert class_targets(["Sky", "traffic-sign", "boat"], ["Traffic Sign", "sky"]) == [1, 0, None]
    assert class_targets([], ["sky", "road"], {0: "road", 2: 0}, count=3) == [1, None, 0]
    with pytest.raises(ValueError, match="share fewer than two names"):
        class_targets(["a", "b"], ["b", "c"])
    with pytest.raises(ValueError, match=r"the student has no class 'Carr', it has car"):
        class_targets(["car"], ["Car"], {"car": "Carr"})


@pytest.mark.parametrize("table", ["cityscapes-camvid", "ade20k-camvid", "ade20k-cityscapes"])
def test_tables_lead_to_all_classes_of_the_data_sets(table: str) -> None:
    from temporalkd.data.palettes import palette
    from temporalkd.models.class_tables import TABLES

    first, second = table.split("-")
    others = palette(second).names
    own = palette(first).names if first == "cityscapes" else tuple(TABLES[table])
    reached = set(class_targets(own, others, table))
    missing = {others[number] for number in range(len(others)) if number not in reached}
    assert missing <= {"rider", "train"}  # ADE20K has neither
    assert first != "cityscapes" or None not in reached


class Fixed(nn.Module):
    def __init__(self, logits: torch.Tensor):
        super().__init__()
        self.logits = nn.Parameter(logits)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.logits.expand(len(x), -1, -1, -1)


def test_probabilities_of_joined_classes_are_summed_and_little_mass_says_nothing() -> None:
    probs = torch.tensor([[0.2, 0.3, 0.4, 0.1], [0.1, 0.1, 0.1, 0.7]])  # two pixels of four classes
    network = Segmenter(Fixed(probs.log().T.reshape(1, 4, 1, 2)), 4, {}, "none", input_size=(1, 2))
    mapped = MappedClasses(network, [0, 1, 1, None], 2)
    found = mapped(torch.rand(1, 3, 1, 2))
    torch.testing.assert_close(found.native.softmax(1)[0, :, 0].T, torch.tensor([[2 / 9, 7 / 9], [0.5, 0.5]]))
    assert found.native[0, :, 0, 1].unique().numel() == 1


def test_kl_to_a_mapped_teacher_leaves_out_what_it_does_not_know() -> None:
    import temporalkd as tkd

    probs = torch.tensor([0.6, 0.3, 0.1])
    logits = probs.log().view(1, 3, 1, 1).repeat(1, 1, 8, 8)
    logits[:, 2, :, 4:] = 5  # there the third class, which has no counterpart, has nearly all
    teacher = MappedClasses(Segmenter(Fixed(logits), 3, {}, "none", input_size=(8, 8)), [1, 0, None], 2)
    student = Segmenter(nn.Conv2d(3, 2, 1), 2, normalisation="none")
    nn.init.zeros_(student.network.weight)
    nn.init.zeros_(student.network.bias)
    method = tkd.methods.kd(student, teacher)
    unlabelled = torch.full((1, 8, 8), 255)
    found = method.training_step(torch.rand(1, 1, 3, 8, 8), unlabelled).terms["pixel_kl"]
    target = torch.tensor([1 / 3, 2 / 3])
    torch.testing.assert_close(found, (target * (target / 0.5).log()).sum())
