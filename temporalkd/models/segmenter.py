"""The contract that every network fulfils: frames in [0, 1] in, logits and features by role out."""

from __future__ import annotations

import copy
import difflib
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MAX_DIVISOR = 1024


@dataclass
class Prediction:
    """What a segmenter says of N frames.

    Shape:
        logits: (N, C, H, W), at input size.
        native: (N, C, h, w), logits at the network's own stride.
        uncropped: native with the padding still on, where the gradients of all losses meet.
        aux: (N, C, H, W), logits of an auxiliary head, or None.
        features: role -> (N, c, h, w), or a list of them for "low"; in training and for frozen teachers alike.
        branches: name -> what each network says alone, where several speak as one.
        shares: name -> (N, 1, h, w), how much of `native` is that branch's, 0..1.
    """

    logits: Tensor
    native: Tensor
    uncropped: Tensor
    aux: Tensor | None = None
    features: dict[str, Tensor | list[Tensor]] = field(default_factory=dict)
    branches: dict[str, Prediction] = field(default_factory=dict)
    shares: dict[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Normalisation:
    """(255 RGB - mean) / std, per channel, then zeros bottom and right up to a multiple of `divisor`.

    Raises:
        ValueError: a number that would make every answer the same, or frames of any size.
    """

    mean: tuple[float, float, float] = (123.675, 116.28, 103.53)
    std: tuple[float, float, float] = (58.395, 57.12, 57.375)
    divisor: int = 32

    def __post_init__(self) -> None:
        if not all(map(math.isfinite, (*self.mean, *self.std))) or min(self.std) <= 0:
            raise ValueError(f"mean {self.mean}, std {self.std}: expected finite numbers, std more than 0")
        if not 1 <= self.divisor <= MAX_DIVISOR:
            raise ValueError(f"divisor is {self.divisor}, expected 1 to {MAX_DIVISOR}")


Roles = Mapping[str, str | Sequence[str]]


class Segmenter(nn.Module):
    """A network with its own normalisation and padding, whose modules are read by dotted name.

    Any torch model serves without an edit: `roles` ties "native" (the logits before the network's own upsampling),
    "low" (a list, shallow to deep), "fused" and "head" to modules of the network; their outputs are the features.
    "<name" reads a module's first input instead of its output; "name[2]" one item of an output that is a list.

    Args:
        network: (N, 3, H, W) normalised -> logits (N, C, H, W), or a dict with "out" and perhaps "aux".
        classes: number of classes.
        roles: role -> dotted module name, or a list of names.
        normalisation: what the network was trained with.
    Raises:
        ValueError: a role names a module that the network does not have; lists the nearest names.
    """

    def __init__(self, network: nn.Module, classes: int, roles: Roles, normalisation: Normalisation = Normalisation()):
        super().__init__()
        if "native" not in roles:
            raise ValueError('roles must name the module of "native", the logits before the final upsampling')
        self.network = network.to(memory_format=torch.channels_last)
        self.classes = classes
        self.roles = dict(roles)
        self.normalisation = normalisation
        self.register_buffer("mean", torch.tensor(normalisation.mean).view(1, 3, 1, 1) / 255, persistent=False)
        self.register_buffer("std", torch.tensor(normalisation.std).view(1, 3, 1, 1) / 255, persistent=False)
        self._seen: dict[str, Tensor] = {}
        self._hooks: list[tuple[str, int]] = []
        for name in {n for names in self.roles.values() for n in ([names] if isinstance(names, str) else names)}:
            self._listen(name)

    mean: Tensor
    std: Tensor

    def forward(self, frames: Tensor) -> Prediction:
        """(N, 3, H, W) float RGB in [0, 1] -> Prediction, logits at (H, W)."""
        height, width = frames.shape[-2:]
        x = self.prepare(frames)
        padded = x.shape[-2:]
        try:
            out = self.network(x)
            seen = dict(self._seen)
        finally:
            self._seen.clear()
        logits, aux = (out["out"], out.get("aux")) if isinstance(out, Mapping) else (out, None)

        def at_input_size(logits: Tensor) -> Tensor:
            return enlarged(logits, padded)[..., :height, :width]

        for role, names in self.roles.items():
            for silent in [n for n in ([names] if isinstance(names, str) else names) if n not in seen]:
                raise ValueError(f"role {role!r}: the network's forward does not call {silent!r}")

        def crop(feature: Tensor) -> Tensor:
            rows = -(-feature.shape[-2] * height // padded[0])
            columns = -(-feature.shape[-1] * width // padded[1])
            return feature[..., :rows, :columns]

        features: dict[str, Tensor | list[Tensor]] = {
            role: crop(seen[names]) if isinstance(names, str) else [crop(seen[n]) for n in names]
            for role, names in self.roles.items()
        }
        native = features.pop("native")
        if not isinstance(native, Tensor) or native.shape[1] != self.classes:
            raise ValueError(
                f'role "native" must give {self.classes} channels, the logits; it is {self.roles["native"]}'
            )
        uncropped = seen[str(self.roles["native"])]
        aux = None if aux is None else at_input_size(aux)
        return Prediction(at_input_size(logits), native, uncropped, aux, features)

    @cached_property
    def channels(self) -> dict[str, list[int]]:
        """Role -> channels of its features, of "logits" too: one number, or one a layer of "low"."""
        training, side = self.training, max(64, self.normalisation.divisor)
        with torch.no_grad():
            features = self.eval()(torch.zeros(1, 3, side, side, device=self.mean.device)).features
        self.train(training)
        layers = {role: [f] if isinstance(f, Tensor) else f for role, f in features.items()}
        return {"logits": [self.classes]} | {role: [f.shape[1] for f in found] for role, found in layers.items()}

    @property
    def encoder(self) -> nn.Module:
        """The part whose features all decoders share: the network's `encoder` or `backbone`, else all of it."""
        for name in ("encoder", "backbone"):
            if isinstance(part := getattr(self.network, name, None), nn.Module):
                return part
        return self.network

    def prepare(self, frames: Tensor) -> Tensor:
        """Normalise and pad: (N, 3, H, W) in [0, 1] -> what the network takes."""
        height, width = frames.shape[-2:]
        divisor = self.normalisation.divisor
        x = (frames - self.mean) / self.std
        return F.pad(x, (0, -width % divisor, 0, -height % divisor)).contiguous(memory_format=torch.channels_last)

    def _listen(self, name: str) -> None:
        match = re.fullmatch(r"(<?)([\w.]+)(?:\[(\d+)\])?", name)
        modules = dict(self.network.named_modules())
        if match is None or match[2] not in modules:
            near = difflib.get_close_matches(name, modules, n=5, cutoff=0.4)
            told = f"the nearest names are: {', '.join(near)}" if near else f"it has: {_outermost(modules)}"
            raise ValueError(f"the network has no module {name!r}; {told}")
        reads_input, module_name, item = bool(match[1]), match[2], match[3]

        def hear(module: nn.Module, inputs: tuple, output: Any) -> None:
            value = inputs[0] if reads_input else output
            if item is not None and not isinstance(value, list | tuple):
                raise ValueError(f"{name!r} asks for an item, but {module_name!r} gives a {type(value).__name__}")
            self._seen[name] = value if item is None else value[int(item)]

        self._hooks.append((module_name, modules[module_name].register_forward_hook(hear).id))

    def unheard(self) -> nn.Module:
        """The network with the same weights and nobody listening, so that several threads may run it at once."""
        tensors = chain(self.network.parameters(), self.network.buffers())
        network = copy.deepcopy(self.network, {id(tensor): tensor for tensor in tensors})
        for name, hook in self._hooks:
            del network.get_submodule(name)._forward_hooks[hook]
        return network


def _outermost(names: Iterable[str], most: int = 8) -> str:
    """The first of the dotted names, outer ones before inner ones."""
    known = sorted(filter(None, names), key=lambda name: name.count("."))
    return ", ".join([*known[:most], *(["..."] if len(known) > most else [])])


def enlarged(logits: Tensor, size: Sequence[int]) -> Tensor:
    """Logits (N, C, h, w) brought to (H, W), bilinear."""
    if tuple(logits.shape[-2:]) == tuple(size):
        return logits
    return F.interpolate(logits, tuple(size), mode="bilinear", align_corners=False)


def freeze(module: nn.Module) -> nn.Module:
    """A network in eval, without gradients."""
    return module.requires_grad_(False).eval()
