"""How a network is made steady: every setting with its default."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from temporalkd.data.disturbance import DisturbanceKind


def _noise() -> Mapping[DisturbanceKind, float]:
    return {"noise": 1.0}


@dataclass(frozen=True)
class Options:
    """Settings of `stabilize`.

    Args:
        flip, scales: views of each frame whose averaged prediction is the target. scales None: 0.75, 1 and 1.25 where
            they make the network steadier on these frames, else 1 alone, and then training does not resize either.
        flow_passes: average the targets along the flow, so many times.
        kl, motion: weights of the KL to the target and of motion consistency between adjacent frames; 0 leaves it out.
        steps, lr, batch: AdamW with polynomial decay; a batch is so many frames.
        minutes: instead of `steps`: as many as fit into that time, by the pace measured before the start.
        crop, scale, jitter, disturbance: augmentation; the target is that of the frame before jitter and disturbance.
            Noise alone by default: without it the network learns these frames by heart. All kinds of data.disturbance
            together and jitter lost accuracy and steadiness.
            scale None: 0.8 to 1.33, or as `scales` says.
        mix: share of the trained weights in the result; the rest is the original's. None: half, unless the held-out
            part refuses that and takes another share.
        agreement: smallest share of the held-out pixels that must keep the original's class.
        size: longest side of the frames that are used, pixels; None: of the frames that the network was trained on,
            where the json beside its weights tells trained_size, else 640.
        max_frames: frames that are used, evenly spread in runs of 8.
        check_every, patience: steps between two looks at the held-out part; training ends after so many looks without
            a gain.
        flow: estimator of the motion, by name.
        seed: of all that is drawn.
    Raises:
        ValueError: a setting is out of its range.
    """

    flip: bool = True
    scales: Sequence[float] | None = None
    flow_passes: int = 0
    kl: float = 1.0
    motion: float = 0.0
    steps: int = 400
    minutes: float | None = None
    lr: float = 2e-4
    batch: int = 4
    crop: tuple[int, int] = (256, 320)
    scale: tuple[float, float] | None = None
    jitter: float = 0.0
    disturbance: float | Mapping[DisturbanceKind, float] = field(default_factory=_noise)
    mix: float | None = None
    agreement: float = 0.95
    size: int | None = None
    max_frames: int = 150
    check_every: int = 50
    patience: int = 3
    flow: str = "raft_small"
    seed: int = 0

    def __post_init__(self) -> None:
        for name, low, high in (("mix", 0.0, 1.0), ("agreement", 0.0, 1.0), ("steps", 1, 10**9), ("size", 32, 10**5)):
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise ValueError(f"{name}: {value:g}, expected {low:g} to {high:g}")
        if self.max_frames < 2 or self.batch < 1:
            raise ValueError(f"max_frames: {self.max_frames}, batch: {self.batch}, expected at least 2 and 1")
        if self.kl <= 0 and self.motion <= 0:
            raise ValueError("kl and motion: both are 0, there is nothing to train on")
