"""The contract that every network fulfils: frames in [0, 1] in, logits and features by role out."""

from __future__ import annotations

import copy
import difflib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from temporalkd.models.known import Roles, known_roles
from temporalkd.models.normalisation import Given, resolve
from temporalkd.models.normalisation import Normalisation as Normalisation

if TYPE_CHECKING:
    from temporalkd.models.build import ModelSpec


Kind = Literal["logits", "probabilities"]
SMALLEST = torch.finfo(torch.float32).eps
"""A probability below it is read as this: its logarithm, and the gradient of that, stay moderate."""


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
class Outputs:
    """Reads a network's output as logits of `classes` classes, and those of an auxiliary head where it has one.

    One channel z for two classes (a sigmoid's) is read as [0, z]. Probabilities are read as their logarithm.

    Raises:
        ValueError: `kind` is neither "logits" nor "probabilities".
    """

    classes: int
    kind: Kind = "logits"

    def __post_init__(self) -> None:
        if self.kind not in ("logits", "probabilities"):
            raise ValueError(f'outputs: {self.kind!r}, expected "logits" or "probabilities"')

    def __call__(self, out: Any) -> tuple[Tensor, Tensor | None]:
        """(N, classes, h, w), and the same of the auxiliary head or None.

        Raises:
            ValueError: an output of none of the known forms, or of another number of channels.
        """
        aux = None
        if isinstance(out, Mapping):
            found, aux = out.get("out", out.get("logits")), out.get("aux")
        elif isinstance(out, list | tuple) and out:
            found = out[0]
        else:
            found = out if isinstance(out, Tensor) else getattr(out, "logits", None)
        if not isinstance(found, Tensor) or found.ndim != 4:
            raise ValueError(
                f"the network returns {_described(out)}, expected logits (N, C, H, W): a tensor, a dict with "
                '"out" or "logits", a tuple that begins with them, or an object with .logits'
            )
        return self.logits(found), None if aux is None else self.logits(aux)

    def logits(self, values: Tensor) -> Tensor:
        """(N, C, h, w) as a head gives them -> (N, classes, h, w)."""
        one = values.shape[1] == 1 and self.classes == 2
        if values.shape[1] != self.classes and not one:
            hint = "; a network with one channel has two classes" if values.shape[1] == 1 else ""
            raise ValueError(f"the network gives {values.shape[1]} channels, classes is {self.classes}{hint}")
        if self.kind == "probabilities":
            values = values.to(torch.promote_types(values.dtype, torch.float32))
            values = torch.cat([1 - values, values], 1) if one else values
            return values.clamp(min=SMALLEST).log()
        return torch.cat([torch.zeros_like(values), values], 1) if one else values


def _described(out: Any) -> str:
    if isinstance(out, Mapping):
        return f"a dict with {', '.join(map(repr, out)) or 'nothing'}"
    if isinstance(out, Tensor):
        return f"a tensor {tuple(out.shape)}"
    if isinstance(out, list | tuple):
        return f"a {type(out).__name__} of {', '.join(type(item).__name__ for item in out) or 'nothing'}"
    return f"a {type(out).__name__}"


class Segmenter(nn.Module):
    """Any network as student or teacher: frames in [0, 1] in, logits and features out.

    The network is used as it is. It may return a tensor, a dict with "out" or "logits" (and "aux"), a tuple that begins
    with them, or an object with `.logits`; at any stride; with one channel where there are two classes.

    Args:
        network: (N, 3, h, w) normalised -> logits (N, C, h, w) at any stride.
        classes: number of classes.
        roles: role -> dotted module name, or a list of names: "head", "fused" and "low" (a list, shallow to deep) are
            features that some losses read, "native" the logits where the network enlarges them before it returns them.
            "<name" reads a module's first input instead of its output; "name[2]" one item of an output that is a list.
            None: those of networks of segmentation_models_pytorch and torchvision are known; of others the head, where
            a single convolution gives the classes.
        normalisation: "none" (the network takes RGB in [0, 1]), "imagenet", or (mean, std) for RGB in [0, 1]; a
            Normalisation says the padding too, which else is to a multiple of 32. None: looked up, and said, for
            networks of torchvision, timm, segmentation_models_pytorch and transformers.
        outputs: "probabilities" where the network ends in a softmax or sigmoid.
        input_size: (h, w) that the network takes where it takes no other: frames are resized to it, logits back.
    Raises:
        ValueError: an unknown normalisation; a role names a module that the network does not have (lists the nearest).

    >>> import torch
    >>> import temporalkd as tkd
    >>> net = torch.nn.Conv2d(3, 11, 3, stride=4, padding=1)
    >>> student = tkd.Segmenter(net, classes=11, normalisation="imagenet")
    >>> prediction = student(torch.rand(2, 3, 64, 96))
    >>> tuple(prediction.logits.shape), tuple(prediction.native.shape)
    ((2, 11, 64, 96), (2, 11, 16, 24))
    """

    spec: ModelSpec | None = None
    """What the network can be built again from, where it was built by name."""

    def __init__(
        self,
        network: nn.Module,
        classes: int,
        roles: Roles | None = None,
        normalisation: Given | None = None,
        *,
        outputs: Kind = "logits",
        input_size: Sequence[int] | None = None,
    ):
        super().__init__()
        if not isinstance(network, nn.Module):
            raise ValueError(f"network: a {type(network).__name__}, expected a torch.nn.Module")
        self.outputs = Outputs(classes, outputs)
        self.normalisation = normalisation = resolve(normalisation, network)
        self.network = network.to(memory_format=torch.channels_last)
        self.classes = classes
        self.input_size = None if input_size is None else _size(input_size)
        self.guessed = roles is None
        self.roles = dict(known_roles(network, classes) if roles is None else roles)
        self.register_buffer("mean", torch.tensor(normalisation.mean).view(1, 3, 1, 1) / 255, persistent=False)
        self.register_buffer("std", torch.tensor(normalisation.std).view(1, 3, 1, 1) / 255, persistent=False)
        self._seen: dict[str, Tensor] = {}
        self._hooks: list[tuple[str, int]] = []
        for name in {n for names in self.roles.values() for n in ([names] if isinstance(names, str) else names)}:
            self._register_hook(name)

    mean: Tensor
    std: Tensor

    @property
    def device(self) -> torch.device:
        """Where it runs."""
        return self.mean.device

    def forward(self, frames: Tensor) -> Prediction:
        """(N, 3, H, W) float RGB in [0, 1] -> Prediction, logits at (H, W)."""
        size = frames.shape[-2:]
        x = self.prepare(frames)
        padded = x.shape[-2:]
        try:
            out = self.network(x)
            seen = dict(self._seen)
        finally:
            self._seen.clear()
        logits, aux = self.outputs(out)

        def crop(feature: Tensor) -> Tensor:
            if self.input_size is not None:
                return feature
            rows, columns = (-(-n * side // whole) for n, side, whole in zip(feature.shape[-2:], size, padded))
            return feature[..., :rows, :columns]

        features: dict[str, Tensor | list[Tensor]] = {}
        for role, names in self.roles.items():
            silent = [n for n in ([names] if isinstance(names, str) else names) if n not in seen]
            if silent and not self.guessed:
                raise ValueError(f"role {role!r}: the network's forward does not call {silent[0]!r}")
            if not silent:
                features[role] = crop(seen[names]) if isinstance(names, str) else [crop(seen[n]) for n in names]
        uncropped = (
            self._native(seen[str(self.roles["native"])]) if features.pop("native", None) is not None else logits
        )
        aux = None if aux is None else self.at_frame(aux, padded, size)
        return Prediction(self.at_frame(logits, padded, size), crop(uncropped), uncropped, aux, features)

    def _native(self, found: Tensor) -> Tensor:
        """What the module of role "native" gives, as logits: it lies before a softmax, if there is one."""
        if not isinstance(found, Tensor) or found.shape[1] not in (
            self.classes,
            1 if self.classes == 2 else self.classes,
        ):
            raise ValueError(
                f'role "native" must give {self.classes} channels, the logits; it is {self.roles["native"]}'
            )
        return replace(self.outputs, kind="logits").logits(found)

    def at_frame(self, logits: Tensor, padded: Sequence[int], size: Sequence[int]) -> Tensor:
        """Logits of what `prepare` made, which is of size `padded`, brought to the frame's own size, bilinear."""
        whole = enlarged(logits, padded)
        return whole[..., : size[0], : size[1]] if self.input_size is None else enlarged(whole, size)

    @cached_property
    def channels(self) -> dict[str, list[int]]:
        """Role -> channels of its features, of "logits" too: one number, or one a layer of "low"."""
        side = max(64, self.normalisation.divisor)
        with torch.no_grad(), evaluating(self):
            features = self(torch.zeros(1, 3, side, side, device=self.device)).features
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
        """Normalise and pad, or resize: (N, 3, H, W) in [0, 1] -> what the network takes."""
        if self.input_size is not None and tuple(frames.shape[-2:]) != self.input_size:
            frames = F.interpolate(frames, self.input_size, mode="bilinear", align_corners=False, antialias=True)
        height, width = frames.shape[-2:]
        divisor = 1 if self.input_size is not None else self.normalisation.divisor
        x = (frames - self.mean) / self.std
        return F.pad(x, (0, -width % divisor, 0, -height % divisor)).contiguous(memory_format=torch.channels_last)

    def save_pretrained(self, folder: str | Path, run: str | Path | None = None, licence: str | None = None) -> None:
        """Write model.safetensors, model.json and a model card, README.md, into a folder.

        Args:
            run: the folder of the training: the card gets its scores with intervals, their protocol, and its data.
            licence: of the weights, as the Hub spells it: "apache-2.0".
        Raises:
            ValueError: the network was not built by name, so that it could not be built again.
        """
        from temporalkd.models.hub import save_pretrained

        save_pretrained(self, folder, run, licence)

    @classmethod
    def from_pretrained(cls, name: str | Path, download: bool = False) -> Segmenter:
        """The network that `save_pretrained` or `push_to_hub` wrote, in eval mode.

        Args:
            name: a folder, or OWNER/NAME of the Hugging Face Hub.
            download: fetch it from the Hub where it is not on this machine; without it nothing is downloaded.
        Raises:
            FileNotFoundError: no such network on this machine.
        """
        from temporalkd.models.hub import from_pretrained

        return from_pretrained(name, download)

    def push_to_hub(
        self, repository: str, run: str | Path | None = None, licence: str | None = None, private: bool = False
    ) -> str:
        """Upload what `save_pretrained` writes to OWNER/NAME of the Hub, logged in by `hf auth login`.

        Returns:
            Where it is.
        """
        from temporalkd.models.hub import push_to_hub

        return push_to_hub(self, repository, run, licence, private)

    def _register_hook(self, name: str) -> None:
        match = re.fullmatch(r"(<?)([\w.]+)(?:\[(\d+)\])?", name)
        modules = dict(self.network.named_modules())
        if match is None or match[2] not in modules:
            near = difflib.get_close_matches(name, modules, n=5, cutoff=0.4)
            told = f"the nearest names are: {', '.join(near)}" if near else f"it has: {_outermost(modules)}"
            raise ValueError(f"the network has no module {name!r}; {told}")
        reads_input, module_name, item = bool(match[1]), match[2], match[3]

        def keep(module: nn.Module, inputs: tuple, output: Any) -> None:
            value = inputs[0] if reads_input else output
            if item is not None and not isinstance(value, list | tuple):
                raise ValueError(f"{name!r} asks for an item, but {module_name!r} gives a {type(value).__name__}")
            self._seen[name] = value if item is None else value[int(item)]

        self._hooks.append((module_name, modules[module_name].register_forward_hook(keep).id))

    def extra_repr(self) -> str:
        """What beside its modules decides what it says, for a printed network and its fingerprint."""
        return f"{self.normalisation}, {self.outputs}, input_size={self.input_size}, roles={self.roles}"

    def clone(self) -> Segmenter:
        """The same network with weights of its own."""
        network, roles = copy.deepcopy(self.without_hooks()), None if self.guessed else self.roles
        settings: dict[str, Any] = {"outputs": self.outputs.kind, "input_size": self.input_size}
        twin = Segmenter(network, self.classes, roles, self.normalisation, **settings)
        twin.spec = self.spec
        return twin.train(self.training).to(self.device)

    def __deepcopy__(self, memo: dict[int, Any]) -> Segmenter:
        """A clone, whose features are read from its own network: `copy.deepcopy`, torch's AveragedModel."""
        return memo.setdefault(id(self), self.clone())

    def without_hooks(self) -> nn.Module:
        """The network with the same weights and nobody listening, so that several threads may run it at once."""
        tensors = chain(self.network.parameters(), self.network.buffers())
        network = copy.deepcopy(self.network, {id(tensor): tensor for tensor in tensors})
        for name, hook in self._hooks:
            del network.get_submodule(name)._forward_hooks[hook]
        return network


def _size(given: Sequence[int]) -> tuple[int, int]:
    if len(given) != 2 or min(given) < 1:
        raise ValueError(f"input_size: {given!r}, expected (height, width)")
    return int(given[0]), int(given[1])


def _outermost(names: Iterable[str], most: int = 8) -> str:
    """The first of the dotted names, outer ones before inner ones."""
    known = sorted(filter(None, names), key=lambda name: name.count("."))
    return ", ".join([*known[:most], *(["..."] if len(known) > most else [])])


def enlarged(logits: Tensor, size: Sequence[int]) -> Tensor:
    """Logits (N, C, h, w) brought to (H, W), bilinear."""
    if tuple(logits.shape[-2:]) == tuple(size):
        return logits
    return F.interpolate(logits, tuple(size), mode="bilinear", align_corners=False)


@contextmanager
def evaluating(*modules: nn.Module) -> Iterator[None]:
    """Eval mode inside; afterwards each module, and each within it, is in the mode in which it was."""
    modes = {part: part.training for module in modules for part in module.modules()}
    for module in modules:
        module.eval()
    try:
        yield
    finally:
        for part, training in modes.items():
            part.training = training


def freeze(module: nn.Module) -> nn.Module:
    """A network in eval, without gradients."""
    return module.requires_grad_(False).eval()
