"""Pretrained encoders, which have features and no classes, as teachers of terms that read features alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor, nn

from temporalkd.models.build import ModelSpec
from temporalkd.models.normalisation import Given, Normalisation, resolve
from temporalkd.models.segmenter import Segmenter


class Encoder(nn.Module):
    """A backbone, which has features and no logits: as a network of no classes.

    Args:
        backbone: (N, 3, h, w) -> a list of features (N, c, h', w'), shallow to deep, or an object with .feature_maps.
    """

    def __init__(self, backbone: nn.Module, depth: int):
        super().__init__()
        self.backbone, self.features = backbone, nn.Identity()
        self.depth = depth

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, h, w), normalised -> (N, 0, h, w)."""
        found = self.backbone(x)
        self.features(list(getattr(found, "feature_maps", found)))
        return x[:, :0]

    def segmenter(self, scale: Normalisation) -> Segmenter:
        """Around it: roles "low", all features, "fused" and "head", the last."""
        layers = [f"features[{number}]" for number in range(self.depth)]
        return Segmenter(self, 0, {"low": layers, "fused": layers[-1], "head": layers[-1]}, scale)


def open_timm(name: str, normalisation: Given | None = None, download: bool = False) -> tuple[Segmenter, ModelSpec]:
    """An encoder of timm with its pretrained weights, from the local cache of the Hub.

    Raises:
        FileNotFoundError: the weights are not on this machine.
        ValueError: timm has no such encoder, or it has no weights.
    """
    import timm
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    config = timm.get_pretrained_cfg(name)
    if config is None or not config.hf_hub_id:
        near = ", ".join(timm.list_pretrained(f"*{name.split('.')[0][:8]}*")[:5])
        raise ValueError(f"timm:{name}: no encoder with weights of that name; there are {near or 'none like it'}")
    try:
        file = hf_hub_download(config.hf_hub_id, "model.safetensors", local_files_only=not download)
    except LocalEntryNotFoundError as error:
        if download:
            raise OSError(f"timm:{name}: could not be downloaded ({error})") from error
        raise FileNotFoundError(
            f"timm:{name}: its weights are not on this machine: temporalkd download timm:{name} fetches them"
        ) from None
    backbone: Any = timm.create_model(
        name, pretrained=True, features_only=True, pretrained_cfg_overlay={"file": str(Path(file))}
    )
    scale = resolve(normalisation or (config.mean, config.std), backbone)
    return Encoder(backbone, len(backbone.feature_info.channels())).segmenter(scale), ModelSpec(f"timm:{name}", 0)
