"""An ONNX file as a frozen teacher of terms that read logits."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import torch
from torch import Tensor, nn

from temporalkd.export.session import OnnxStudent
from temporalkd.models import Normalisation, Segmenter


class OnnxNetwork(nn.Module):
    """A graph of `temporalkd export`, computed frame by frame on the CPU, without gradients.

    Args:
        file: the .onnx file: float32 (1, 3, H, W) in [0, 1] -> logits (1, C, H, W).
    Raises:
        FileNotFoundError, ValueError: see OnnxStudent; a graph that gives class maps.
    """

    def __init__(self, file: Path):
        super().__init__()
        self.graph = OnnxStudent(file)
        self.digest = sha256(file.read_bytes()).hexdigest()
        height, width = self.graph.size or (64, 64)
        out = self.graph.run(torch.zeros(1, 3, height, width))
        if out.ndim != 4:
            raise ValueError(f"{file} gives class maps, a teacher needs logits: export without --argmax")
        self.classes = int(out.shape[1])
        self.class_names = tuple(self.graph.card().get("class_names", ()))

    def extra_repr(self) -> str:
        """The file's content, for the fingerprint."""
        return f"sha256={self.digest}"

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) in [0, 1] -> (N, C, H, W) on the same device."""
        frames = x.detach().float().cpu().contiguous()
        return torch.cat([torch.from_numpy(self.graph.run(frame[None])) for frame in frames]).to(x.device)


def open_onnx(file: Path) -> Segmenter:
    """An ONNX file behind the contract of a network; one of a fixed size sees frames resized to it."""
    network = OnnxNetwork(file)
    unscaled = Normalisation((0.0, 0.0, 0.0), (255.0, 255.0, 255.0), 1)
    return Segmenter(network, network.classes, {}, unscaled, input_size=network.graph.size)
