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
    """Of preprocessor_config.json in the folder, or the local cache, that the network was loaded from."""
    name = str(getattr(getattr(network, "config", None), "_name_or_path", ""))
    path: Any = Path(name) / "preprocessor_config.json"
    if name and not path.is_file():
        from transformers.utils import cached_file

        try:
            path = cached_file(name, path.name, local_files_only=True)
        except OSError:  # not in the local cache
            return None
    if not name or path is None:
        return None
    settings = json.loads(Path(path).read_text())
    if not settings.get("do_normalize", True):
        return ((0, 0, 0), (1, 1, 1)), f"of the image processor of {name}"
    if "image_mean" not in settings or "image_std" not in settings:
        return None
    return (settings["image_mean"], settings["image_std"]), f"of the image processor of {name}"


def known_roles(network: nn.Module, classes: int) -> Roles:
    """Roles of the network's modules; of a network of no known family the head alone, where that is unambiguous."""
    library = family(network)
    if library == SMP and hasattr(network, "segmentation_head"):
        return smp_roles(network)
    if library == TORCHVISION and hasattr(network, "classifier"):
        return torchvision_roles(network)
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
