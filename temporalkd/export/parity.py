"""Whether an exported graph says what the network says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from temporalkd.export.exported import ExportedStudent
from temporalkd.models import Segmenter

LOGITS = 1e-3
AGREEMENT = 99.9


@dataclass(frozen=True)
class Parity:
    """Largest difference of logits, relative to the largest logit (None: the graph gives classes), and the share of
    pixels of the same class, percent."""

    difference: float | None
    agreement: float

    @property
    def holds(self) -> bool:
        """Within what another order of the same sums explains."""
        return self.agreement >= AGREEMENT and (self.difference is None or self.difference <= LOGITS)

    def __str__(self) -> str:
        logits = "" if self.difference is None else f"logits within {self.difference:.1e}, "
        return f"{logits}{self.agreement:.3f} % of the pixels agree"


@torch.inference_mode()
def parity(segmenter: Segmenter, student: ExportedStudent, frames: Sequence[Tensor]) -> Parity:
    """Over frames (1, 3, H, W) in [0, 1]; the network in eval."""
    worst, same, pixels = 0.0, 0, 0
    by_logits = False
    for frame in frames:
        expected = segmenter(frame.to(segmenter.device)).logits.float().cpu()
        out = torch.from_numpy(student.run(frame))
        if by_logits := out.ndim == 4:
            largest = max(float(expected.abs().max()), torch.finfo(torch.float32).tiny)
            worst = max(worst, float((out - expected).abs().max()) / largest)
            out = out.argmax(1)
        same += int((out == expected.argmax(1)).sum())
        pixels += out.numel()
    return Parity(worst if by_logits else None, 100 * same / pixels)
