"""Trained networks by name: "hf:", "smp:", "torchvision:" and "timm:" before what the library calls them."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlparse

import torch

from temporalkd.models.build import SMP, TORCHVISION, ModelSpec, build
from temporalkd.models.encoders import open_timm
from temporalkd.models.hugging_face import folder_of, open_hugging_face
from temporalkd.models.normalisation import Given, resolve
from temporalkd.models.segmenter import Segmenter
from temporalkd.models.weights import load_segmenter

OWN = "model.safetensors"
"""Weights in a folder that `Segmenter.save_pretrained` wrote, with model.json beside them."""


def is_source(name: str) -> bool:
    """Whether it names a network of a library, and not a file."""
    return name.partition(":")[0] in _OPENERS and ":" in name


def open_source(name: str, normalisation: Given | None = None, download: bool = False) -> tuple[Segmenter, ModelSpec]:
    """A trained network and what it is; nothing is downloaded unless `download` says so.

    Args:
        name: "hf:FOLDER" or "hf:OWNER/NAME" (transformers, or a network of `Segmenter.save_pretrained`), "smp:FOLDER"
            or "smp:OWNER/NAME" (saved by smp's save_pretrained), "torchvision:NAME", "timm:NAME" (an encoder).
        normalisation: None: looked up.
    Raises:
        FileNotFoundError: the weights are not on this machine; says how to fetch them.
        ValueError: no such library or network.
    """
    library, _, rest = name.partition(":")
    if library not in _OPENERS:
        raise ValueError(f"{name}: expected one of {', '.join(f'{known}:' for known in _OPENERS)} before the name")
    try:
        return _OPENERS[library](rest, normalisation, download)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{name}: {error}") from None


def _hugging_face(name: str, normalisation: Given | None, download: bool) -> tuple[Segmenter, ModelSpec]:
    own = folder_of(name, download) / OWN
    if own.with_suffix(".json").is_file():
        return load_segmenter(own)
    return open_hugging_face(name, normalisation, download)


def _smp(name: str, normalisation: Given | None, download: bool) -> tuple[Segmenter, ModelSpec]:
    import segmentation_models_pytorch as smp

    network = smp.from_pretrained(str(folder_of(name, download)))
    arguments = {key: value for key, value in network.config.items() if key not in ("classes", "encoder_weights")}
    spec = ModelSpec(
        architecture=SMP + type(network).__name__,
        classes=int(network.config.get("classes", 1)),
        arguments=arguments,
        normalisation=resolve(normalisation, network),
    )
    made = build(spec)
    made.network.load_state_dict(network.state_dict())
    return made, spec


def _torchvision(name: str, normalisation: Given | None, download: bool) -> tuple[Segmenter, ModelSpec]:
    from torchvision import models

    known = models.list_models(module=models.segmentation)
    if name not in known:
        raise ValueError(f"torchvision:{name}: expected one of {', '.join(known)}")
    weights = models.get_model_weights(name).DEFAULT
    file = Path(torch.hub.get_dir()) / "checkpoints" / Path(urlparse(weights.url).path).name
    if not file.is_file() and not download:
        raise FileNotFoundError(f"no {file}: temporalkd download torchvision:{name} fetches it")
    tensors = weights.get_state_dict(progress=True, check_hash=True)
    auxiliary = {"aux_loss": True} if any(key.startswith("aux_classifier.") for key in tensors) else {}
    names = tuple(weights.meta["categories"])
    untrained = ModelSpec(TORCHVISION + name, len(names), auxiliary, class_names=names)
    made = build(untrained)
    made.network.load_state_dict(tensors)
    return made, untrained


_OPENERS = {"hf": _hugging_face, "smp": _smp, "torchvision": _torchvision, "timm": open_timm}
