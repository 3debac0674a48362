"""What files of `temporalkd export` have in common: a frame in, its classes out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class ExportedStudent(ABC):
    """A frame's class map by an exported file; several threads may ask at once.

    name: of the file, for messages. size: (H, W) that it takes, None: any.
    gives_logits: whether it gives logits (1, C, H, W) or classes (1, H, W).
    """

    device = torch.device("cpu")
    name: str
    size: tuple[int, int] | None
    gives_logits: bool

    @abstractmethod
    def card(self) -> dict[str, Any]:
        """What `temporalkd export` wrote into the file about its network; empty in files of other tools."""

    @abstractmethod
    def compute(self, frames: Tensor) -> NDArray[Any]:
        """(1, 3, H, W) float32 in [0, 1] -> what the file gives."""

    def require(self, frame: str, size: tuple[int, int]) -> None:
        """Refuse a frame of another size (H, W) than the file's."""
        if self.size is not None and tuple(size) != self.size:
            (height, width), (rows, columns) = self.size, size
            raise ValueError(
                f"{frame} is {rows}x{columns} (height x width), {self.name} takes {height}x{width} alone: "
                f"export with --size {rows}x{columns} or, as ONNX, --dynamic"
            )

    def run(self, frames: Tensor) -> NDArray[Any]:
        """(1, 3, H, W) float32 in [0, 1] -> what the file gives, logits (1, C, H, W) or classes (1, H, W).

        Raises:
            ValueError: it cannot be computed at this size.
        """
        try:
            out = self.compute(frames)
        except Exception as error:  # runtimes' own have no base class but this
            size = f"{frames.shape[2]}x{frames.shape[3]}"
            reason = " ".join(str(error).split())[:160]
            raise ValueError(
                f"{self.name} cannot be computed at {size} (height x width): export with --size {size}, "
                f"without --dynamic ({reason})"
            ) from error
        if out.shape[-2:] != frames.shape[2:]:
            raise ValueError(
                f"{self.name} gives {out.shape} of a frame of {frames.shape[2]}x{frames.shape[3]}, expected classes at "
                "its size: write it with temporalkd export"
            )
        return np.asarray(out)

    def __call__(self, pixels: Tensor) -> Tensor:
        """(3, H, W) uint8 RGB -> (H, W) uint8."""
        out = torch.from_numpy(self.run(pixels[None].float() / 255))[0]
        return out.argmax(0).to(torch.uint8) if self.gives_logits else out
