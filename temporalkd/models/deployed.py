"""A network without what training reads of it, and class maps by it: as deployed."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable

import torch
from torch import Tensor, nn

from temporalkd.models.segmenter import Segmenter, enlarged


class Bare(nn.Module):
    """A segmenter's network alone: no features, no normalisation, no padding; several threads may call it at once.

    Shape:
        (N, 3, H, W), normalised and padded -> logits (N, C, H, W).
    """

    def __init__(self, segmenter: Segmenter):
        super().__init__()
        self.network, self.outputs = segmenter.without_hooks(), segmenter.outputs

    def forward(self, x: Tensor) -> Tensor:
        """Logits at the size of `x`."""
        return enlarged(self.outputs(self.network(x))[0], x.shape[-2:])


class Classifier:
    """A frame's class map by a trained network; several threads may ask at once.

    Args:
        segmenter: in eval, on its device.
        bf16: compute in bfloat16 where autocast allows it.
        compiled: by torch.compile, on the first frame.
    Where the machine cannot do what is asked, a warning says so and the plain network answers.
    """

    def __init__(self, segmenter: Segmenter, bf16: bool = False, compiled: bool = False):
        self.segmenter, self.device = segmenter.eval(), segmenter.device
        self.bf16 = bf16 and has_bf16(self.device)
        if bf16 and not self.bf16:
            warnings.warn(f"this {self.device.type} has no bf16: computed in fp32", stacklevel=2)
        self._plain = Bare(segmenter).eval()
        if self.device.type == "cpu":
            _leave_pointwise_to_onednn(self._plain)
        self._first = threading.Lock()
        self._network: Callable[[Tensor], Tensor] = self._plain
        self._untried = compiled

    def require(self, frame: str, size: tuple[int, int]) -> None:
        """Any size will do."""

    @torch.inference_mode()
    def __call__(self, pixels: Tensor) -> Tensor:
        """(3, H, W) uint8 RGB -> (H, W) uint8 on the CPU."""
        x = self.segmenter.prepare(pixels[None].to(self.device).float() / 255)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            logits = self._logits(x)
        at_frame = self.segmenter.at_frame(logits, x.shape[-2:], pixels.shape[-2:])
        return at_frame[0].float().argmax(0).to("cpu", torch.uint8)

    def _logits(self, x: Tensor) -> Tensor:
        if self._untried:
            with self._first:
                if self._untried:
                    return self._compile(x)
        return self._network(x)

    def _compile(self, x: Tensor) -> Tensor:
        try:
            compiled = torch.compile(self._plain, options={"freezing": True})  # folds normalisations into convolutions
            logits = compiled(x)
        except Exception as error:  # whatever a compiler that is missing or broken makes of it
            reason = " ".join(str(error).split())[:120]
            warnings.warn(f"torch.compile does not work here ({reason}): not compiled", stacklevel=2)
            logits = self._plain(x)
        else:
            self._network = compiled
        self._untried = False
        return logits


def _leave_pointwise_to_onednn(network: nn.Module) -> None:
    """On one thread torch computes 1 x 1 convolutions itself, at less than half the speed, unless they are dilated.

    To a kernel of one cell dilation means nothing, so the results are the same up to rounding.
    """
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d) and layer.kernel_size == (1, 1):
            layer.dilation = (2, 2)


def has_bf16(device: torch.device) -> bool:
    """Whether the device computes in bfloat16 itself; others are many times slower in it than in float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
