"""A student as a torch.export program, for runtimes of PyTorch: ExecuTorch, AOTInductor, torch itself."""

from __future__ import annotations

import copy
import json
import os
import warnings
from dataclasses import asdict
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from temporalkd.export.exported import ExportedStudent
from temporalkd.export.graph import KEY, Card
from temporalkd.models import Bare, Segmenter
from temporalkd.plugins import REFUSED

CARD = f"{KEY}.json"


class Whole(nn.Module):
    """A network with normalisation, padding and cropping, for frames of one size.

    Shape:
        (1, 3, H, W) in [0, 1] -> logits (1, C, H, W), or classes (1, H, W) uint8 with `argmax`.
    """

    def __init__(self, segmenter: Segmenter, argmax: bool):
        super().__init__()
        self.network, self.argmax = copy.deepcopy(Bare(segmenter)).cpu(), argmax
        self.divisor = segmenter.normalisation.divisor
        self.register_buffer("mean", segmenter.mean.cpu())
        self.register_buffer("std", segmenter.std.cpu())

    mean: Tensor
    std: Tensor

    def forward(self, frames: Tensor) -> Tensor:
        """See the class."""
        height, width = frames.shape[-2:]
        x = F.pad((frames - self.mean) / self.std, (0, -width % self.divisor, 0, -height % self.divisor))
        logits = self.network(x)[..., :height, :width]
        return logits.argmax(1).to(torch.uint8) if self.argmax else logits


def pt2_program(segmenter: Segmenter, card: Card) -> bytes:
    """The .pt2 file of a network: a torch.export.ExportedProgram of frames of the card's size, and the card.

    Raises:
        ValueError: the card names no size, or torch cannot export this network.
    """
    if card.size is None:
        raise ValueError("a .pt2 file takes frames of one size: leave out --dynamic, or export to .onnx")
    if segmenter.input_size is not None:
        raise ValueError("a network with an input_size cannot be exported: resize the frames outside")
    whole, file = Whole(segmenter, card.argmax).eval(), BytesIO()
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            program = torch.export.export(whole, (torch.rand(1, 3, *card.size),))
            torch.export.save(program, file, extra_files={CARD: json.dumps(asdict(card))})
    except Exception as error:
        raise ValueError(f"torch cannot export {card.architecture}: {' '.join(str(error).split())[:200]}") from error
    return file.getvalue()


class Pt2Student(ExportedStudent):
    """A .pt2 file of `temporalkd export`, run by torch on the CPU.

    Args:
        file: the file, or what it holds. torch unpickles parts of it: read only files that you trust.
        name: for messages; default the file.
    Raises:
        FileNotFoundError: no such file.
        ValueError: not a .pt2 file, or not one of `temporalkd export`; refused by --no-import.
    """

    def __init__(self, file: Path | bytes, name: str = ""):
        self.name = name or str(file if isinstance(file, Path) else "the program")
        if os.environ.get(REFUSED):
            raise ValueError(f"{self.name}: reading a .pt2 file can run code: refused by --no-import")
        if isinstance(file, Path) and not file.is_file():
            raise FileNotFoundError(f"{file}: no such .pt2 file")
        extra = {CARD: ""}
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                program = torch.export.load(file if isinstance(file, Path) else BytesIO(file), extra_files=extra)
                self._network: Any = program.module()
        except Exception as error:  # whatever unpacking and unpickling make of it
            raise ValueError(
                f"{self.name} is not a readable .pt2 file: {' '.join(str(error).split())[:160]}"
            ) from error
        if not extra[CARD]:
            raise ValueError(f"{self.name} was not written by temporalkd export: it has no {CARD}")
        self._card: dict[str, Any] = json.loads(extra[CARD])
        height, width = self._card["size"]
        self.size, self.gives_logits = (height, width), not self._card["argmax"]

    def card(self) -> dict[str, Any]:
        """See ExportedStudent."""
        return self._card

    @torch.inference_mode()
    def compute(self, frames: Tensor) -> NDArray[Any]:
        """See ExportedStudent."""
        found: NDArray[Any] = self._network(frames).numpy()
        return found
