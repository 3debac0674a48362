"""How a network is made steady: every setting with its default."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from temporalkd import options
from temporalkd.data.disturbance import DisturbanceKind
from temporalkd.options import Scale, Seed, Size

Share = Annotated[float, Field(ge=0, le=1)]


class Options(options.Options):
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
    """

    flip: bool = True
    scales: tuple[PositiveFloat, ...] | None = None
    flow_passes: NonNegativeInt = 0
    kl: NonNegativeFloat = 1.0
    motion: NonNegativeFloat = 0.0
    steps: PositiveInt = 400
    minutes: PositiveFloat | None = None
    lr: PositiveFloat = 2e-4
    batch: PositiveInt = 4
    crop: Size = (256, 320)
    scale: Scale | None = None
    jitter: float = Field(default=0.0, ge=0, lt=1)
    disturbance: NonNegativeFloat | dict[DisturbanceKind, NonNegativeFloat] = {"noise": 1.0}
    mix: Share | None = None
    agreement: Share = 0.95
    size: Annotated[int, Field(ge=32)] | None = None
    max_frames: Annotated[int, Field(ge=2)] = 150
    check_every: PositiveInt = 50
    patience: PositiveInt = 3
    flow: str = "raft_small"
    seed: Seed = 0

    @model_validator(mode="after")
    def _something_to_train_on(self) -> Options:
        if self.kl == 0 and self.motion == 0:
            raise ValueError("kl and motion: both are 0, there is nothing to train on")
        return self
