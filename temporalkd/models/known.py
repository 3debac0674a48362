"""What is known of networks of public libraries: how their input is scaled, and where their features are."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

Roles = Mapping[str, str | Sequence[str]]
SMP, TORCHVISION, TRANSFORMERS = "segmentation_models_pytorch", "torchvision", "transformers"
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_IMAGENET_ENCODERS = re.compile(r"resnet\d|resnext\d|vgg\d|densenet\d|mit_b\d|mobilenet_v2|efficientnet-b\d")
"""Encoders of smp whose weights called "imagenet" were trained with ImageNet's mean and deviation."""


def family(network: nn.Module) -> str | None:
    """The library that the network's class, or one that it inherits from, is part of."""
    for cls in type(network).__mro__:
        library = cls.__module__.partition(".")[0]
        if library in (SMP, TORCHVISION, TRANSFORMERS):
            return library
    return None


def known_statistics(network: nn.Module) -> tuple[Any, str] | None:
    """((mean, std) for RGB in [0, 1], where they are from), or None where that is not known without a download."""
    library = family(network)
    if library == TORCHVISION:
        return IMAGENET, "of torchvision's weights"
    if library == TRANSFORMERS:
        return _of_image_processor(network)
    for part in (network, getattr(network, "encoder", None), getattr(network, "backbone", None)):
        for holder in (part, getattr(part, "model", None)):
            cfg = getattr(holder, "pretrained_cfg", None)
            if cfg and cfg.get("mean") and cfg.get("std"):
                return (cfg["mean"], cfg["std"]), "of timm's pretrained_cfg"
    return _of_smp_encoder(network) if library == SMP else None


def _of_smp_encoder(network: nn.Module) -> tuple[Any, str] | None:
    settings: Any = getattr(network, "config", None) or {}
    name, weights = str(settings.get("encoder_name")), settings.get("encoder_weights") or "imagenet"
    if weights == "imagenet" and _IMAGENET_ENCODERS.match(name):
        return IMAGENET, f"of smp's encoder {name}"
    return None


def _of_image_processor(network: nn.Module) -> tuple[Any, str] | None:
    """Of the folder, or the local cache, that the network was loaded from."""
    name = str(getattr(getattr(network, "config", None), "_name_or_path", ""))
    folder = Path(name)
    if name and not folder.is_dir():
        from huggingface_hub import try_to_load_from_cache

        found = try_to_load_from_cache(name, PREPROCESSOR)
        folder = Path(found).parent if isinstance(found, str) else folder
    statistics = image_processor_statistics(folder) if name else None
    return None if statistics is None else (statistics, f"of the image processor of {name}")


PREPROCESSOR = "preprocessor_config.json"


def image_processor_statistics(folder: Path) -> Any:
    """(mean, std) for RGB in [0, 1], as an image processor's file in the folder says; None where there is none."""
    places = [(folder / PREPROCESSOR, None), (folder / "processor_config.json", "image_processor")]
    for path, section in places:
        settings = json.loads(path.read_text()) if path.is_file() else {}
        settings = settings.get(section, {}) if section else settings
        if settings and not settings.get("do_normalize", True):
            mean, std = [0.0] * 3, [1.0] * 3
        elif "image_mean" in settings and "image_std" in settings:
            mean, std = settings["image_mean"], settings["image_std"]
        else:
            continue
        unit = 255 * settings.get("rescale_factor", 1 / 255) if settings.get("do_rescale", True) else 255.0
        return [value / unit for value in mean], [value / unit for value in std]
    return None


def known_roles(network: nn.Module, classes: int) -> Roles:
    """Roles of the network's modules; of a network of no known family the head alone, where that is unambiguous."""
    library = family(network)
    if library == SMP and hasattr(network, "segmentation_head"):
        return smp_roles(network)
    if library == TORCHVISION and hasattr(network, "classifier"):
        return torchvision_roles(network)
    if library == TRANSFORMERS and (roles := transformers_roles(network)):
        return roles
    convolutions = [(name, module) for name, module in network.named_modules() if isinstance(module, nn.Conv2d)]
    widths = {classes, 1} if classes == 2 else {classes}
    last = [name for name, module in convolutions if name and module.out_channels in widths]
    if len(last) == 1 and last[0] == convolutions[-1][0]:
        return {"head": f"<{last[0]}"}
    return {}


def smp_roles(network: Any) -> Roles:
    """Of a network of segmentation-models-pytorch."""
    channels = network.encoder.out_channels
    stages = [f"encoder[{i}]" for i, width in enumerate(channels) if i > 0 and width > 0][-4:]
    head = "segmentation_head.head" if type(network).__name__ == "DPT" else "segmentation_head.0"
    return {"native": head, "head": f"<{head}", "fused": "decoder", "low": stages}


def torchvision_roles(network: Any) -> Roles:
    """Of a segmentation network of torchvision."""
    backbone = network.backbone
    stages = [f"layer{i}" for i in range(1, 5)] if hasattr(backbone, "layer1") else backbone.return_layers
    low = [f"backbone.{stage}" for stage in stages]
    kind = type(network).__name__
    if kind == "LRASPP":
        return {"native": "classifier", "head": "classifier.cbr", "fused": "classifier.cbr", "low": low}
    fused = "classifier.0" if kind == "DeepLabV3" else "<classifier.4"
    return {"native": "classifier", "head": "<classifier.4", "fused": fused, "low": low}


def transformers_roles(network: Any) -> Roles:
    """Of a semantic segmenter of transformers: SegFormer, UperNet and DPT; of others none."""
    decode: Any = getattr(network, "decode_head", None)
    classifier = "decode_head.classifier"
    if hasattr(decode, "linear_projections") or hasattr(decode, "linear_c"):
        stages = "linear_projections" if hasattr(decode, "linear_projections") else "linear_c"
        low = [f"<decode_head.{stages}.{number}" for number in range(len(getattr(decode, stages)))]
    elif hasattr(decode, "lateral_convs"):
        low = [f"<decode_head[{number}]" for number in range(len(decode.lateral_convs) + 1)]
    elif type(network).__name__ == "DPTForSemanticSegmentation":
        classifier = "head.head.4"
        low = [f"neck[{number}]" for number in reversed(range(len(network.neck.convs)))]  # it begins with the deepest
    else:
        return {}
    return {"native": classifier, "head": f"<{classifier}", "fused": f"<{classifier}", "low": low}
