"""What becomes of a step whose loss or gradient is not finite."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from temporalkd.console import say


class Guard:
    """Stops at such a step, or skips it as if it had not been, up to `limit` of them in a row.

    Args:
        trainables: what is trained; a skipped step leaves their weights, and what BatchNorm gathered, as they were.

    Attributes:
        in_a_row: steps skipped since the last that counted.
        skipped: in all.
    """

    def __init__(self, trainables: Mapping[str, nn.Module], skips: bool, limit: int, says: bool = True):
        self.trainables, self.skips, self.limit, self.says = trainables, skips, limit, says
        self.in_a_row = self.skipped = 0
        self._rejected = False
        self._buffers: dict[str, list[Tensor]] = {}

    def remember(self) -> None:
        """Before a step."""
        if self.skips:
            self._buffers = {name: [b.clone() for b in p.buffers()] for name, p in self.trainables.items()}

    def reject(self, what: str, step: int, saved: int, *trainables: str) -> None:
        """Stop, or put those trainables' buffers back.

        Raises:
            FloatingPointError: says what was not finite, at which step, and what there is to go on from.
        """
        kept = f", checkpoints/last.pt is of step {saved}" if saved else ""
        hint = "a smaller training.lr or training.clip_grad may help"
        if not self.skips:
            raise FloatingPointError(f"{what} at step {step}: stopped{kept}; {hint}")
        self.skipped += 1
        self._rejected = True
        if self.in_a_row >= self.limit:
            raise FloatingPointError(
                f"{what} at step {step}, after {self.limit} skipped steps in a row: stopped{kept}; {hint}"
            )
        for name in trainables:
            for buffer, before in zip(self.trainables[name].buffers(), self._buffers[name]):
                buffer.copy_(before)
        if self.says:
            say(f"{what} at step {step}: skipped, {self.in_a_row + 1} in a row, {self.skipped} in all")

    def end_step(self) -> None:
        """After a step, skipped or not."""
        self.in_a_row = self.in_a_row + 1 if self._rejected else 0
        self._rejected = False

    def state(self) -> dict[str, int]:
        """For a checkpoint."""
        return {"in_a_row": self.in_a_row, "skipped": self.skipped}

    def restore(self, state: Mapping[str, int]) -> None:
        """Go on from what `state` gave."""
        self.in_a_row, self.skipped = state["in_a_row"], state["skipped"]


def not_finite(values: Mapping[str, float], gradient: float = 0.0) -> str | None:
    """The first of the terms' values that is not finite, or the norm of the gradient, in words; None where all are."""
    for name, value in values.items():
        if name != "loss" and not math.isfinite(value):
            return f"term {name!r} is {value}"
    return None if math.isfinite(gradient) else f"the norm of the gradient is {gradient}"


def refuse_not_finite(module: nn.Module, step: int, saved: int) -> None:
    """Look at the weights before they take a good checkpoint's place.

    Raises:
        FloatingPointError: names the first that is not finite.
    """
    floating = [(name, buffer) for name, buffer in module.named_buffers() if buffer.is_floating_point()]
    for name, tensor in (*module.named_parameters(), *floating):
        if not bool(torch.isfinite(tensor.detach().sum())) and not bool(torch.isfinite(tensor).all()):
            kept = f"checkpoints/last.pt stays that of step {saved}" if saved else "nothing is saved"
            raise FloatingPointError(
                f"{name} is not finite after step {step}: stopped, {kept}; "
                "a smaller training.lr or training.clip_grad may help"
            )
