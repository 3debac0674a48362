"""What networks return, read as logits: a tensor, a dict, a tuple, an object with .logits; probabilities too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

Kind = Literal["logits", "probabilities"]
SMALLEST = torch.finfo(torch.float32).eps
"""A probability below it is read as this: its logarithm, and the gradient of that, stay moderate."""


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
