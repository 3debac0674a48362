"""Metrics of consecutive class maps in torchmetrics' style: maps and flow of any device in, a share out."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from temporalkd.metrics.pair import FramePair
from temporalkd.metrics.temporal import Consistency, Flips


class TemporalConsistency(Consistency):
    """Temporal consistency of class maps: mIoU between each map and the next one warped onto it.

    Args:
        classes: number of classes.
        protocol: one of PROTOCOLS; the default counts visible pixels alone.
    Raises:
        ValueError: an unknown protocol.

    >>> import torch
    >>> from temporalkd.metrics import TemporalConsistency
    >>> metric = TemporalConsistency(classes=3)
    >>> maps, still = torch.randint(0, 3, (2, 8, 8)), torch.zeros(2, 8, 8)
    >>> metric.update(maps[0], maps[0], still, still)
    >>> metric.compute().item()
    1.0
    """

    def update(  # type: ignore[override]
        self,
        map_t: Tensor,
        map_t1: Tensor,
        forward: Tensor,
        backward: Tensor,
        labels_t: Tensor | None = None,
        labels_t1: Tensor | None = None,
        clip: int = 0,
    ) -> None:
        """Add a pair of frames, or a batch of pairs.

        Shape:
            map_t, map_t1: (H, W) or (B, H, W), integers, class maps of t and t + 1.
            forward, backward: (2, H, W) or (B, 2, H, W), flow t -> t + 1 and back, pixels.
            labels_t, labels_t1: like the maps, 255 where void; both or none.
        Args:
            clip: number of the video that the pairs are of, for intervals.
        """
        for current, following, pair in _pairs(map_t, map_t1, forward, backward, labels_t, labels_t1):
            super().update(current, following, pair, clip)

    def compute(self) -> Tensor:  # type: ignore[override]
        """Scalar, a share in 0..1; NaN where nothing was counted."""
        return self.series("consistency").value()

    def per_class(self) -> Tensor:
        """(classes,), shares in 0..1, NaN where absent; of this process's pairs."""
        return self.series("per_class").value()


class FlipRate(Flips):
    """What a viewer sees as flicker: the share of visible pixels whose class changes along the motion.

    >>> import torch
    >>> from temporalkd.metrics import FlipRate
    >>> metric = FlipRate()
    >>> one, still = torch.zeros(8, 8, dtype=torch.long), torch.zeros(2, 8, 8)
    >>> other = one.clone()
    >>> other[:4] = 1
    >>> metric.update(one, other, still, still)
    >>> metric.compute().item()
    0.5
    """

    def update(  # type: ignore[override]
        self,
        map_t: Tensor,
        map_t1: Tensor,
        forward: Tensor,
        backward: Tensor,
        labels_t: Tensor | None = None,
        labels_t1: Tensor | None = None,
        clip: int = 0,
    ) -> None:
        """As `TemporalConsistency.update`; with labels, void pixels do not count."""
        for current, following, pair in _pairs(map_t, map_t1, forward, backward, labels_t, labels_t1):
            super().update(current, following, pair, clip)

    def compute(self) -> Tensor:  # type: ignore[override]
        """Scalar, a share in 0..1; NaN where nothing was counted."""
        return self.series("flip_rate").value()


def _pairs(
    map_t: Tensor,
    map_t1: Tensor,
    forward: Tensor,
    backward: Tensor,
    labels_t: Tensor | None,
    labels_t1: Tensor | None,
) -> Iterator[tuple[Tensor, Tensor, FramePair]]:
    """Each pair of a batch: class maps, and what is known of the frames, on the CPU."""
    if (labels_t is None) != (labels_t1 is None):
        raise ValueError("labels_t, labels_t1: give both, or neither")
    given = {"map_t": map_t, "map_t1": map_t1, "labels_t": labels_t, "labels_t1": labels_t1}
    maps = {name: batched(name, value, map_t.shape) for name, value in given.items() if value is not None}
    flows = [flow if flow.ndim == 4 else flow[None] for flow in (forward, backward)]
    for name, flow in zip(("forward", "backward"), flows):
        batch, height, width = maps["map_t"].shape
        if flow.shape != (batch, 2, height, width):
            raise ValueError(f"{name}: {tuple(flow.shape)}, expected {(batch, 2, height, width)} for the maps given")
    there, back = (flow.detach().float().cpu() for flow in flows)
    for i in range(len(there)):
        labels = [maps[name][i] for name in ("labels_t", "labels_t1") if name in maps]
        yield maps["map_t"][i], maps["map_t1"][i], FramePair.between(there[i : i + 1], back[i : i + 1], *labels)


def batched(name: str, value: Tensor, like: torch.Size) -> Tensor:
    """(B, H, W) uint8 on the CPU."""
    if value.ndim not in (2, 3) or value.shape != like or value.is_floating_point():
        raise ValueError(
            f"{name}: {value.dtype} {tuple(value.shape)}, expected integers (H, W) or (B, H, W) of one shape; "
            "of logits their argmax(1)"
        )
    return (value if value.ndim == 3 else value[None]).detach().to("cpu", torch.uint8)
