"""Results: one row a system, flow and protocol, with its intervals and its course over time."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from torch import Tensor

from temporalkd.metrics import Series

SHARES = {
    "miou": "mIoU",
    "macc": "mAcc",
    "boundary_iou": "boundary IoU",
    "consistency": "consistency",
    "flip_rate": "flip rate",
    "flip_interior": "interior flips",
    "flip_boundary": "boundary flips",
    "gated": "stays right",
    "right_twice": "right twice",
    "coverage": "coverage",
    "vc8": "VC8",
    "vc16": "VC16",
    "vc8_correct": "VC8 correct",
    "vc16_correct": "VC16 correct",
    "vec8": "VEC8",
    "vec16": "VEC16",
    "warp_error": "E_warp",
    "perceptual": "perceptual",
    "boundary_jitter": "boundary jitter, px",
}
"""Key -> heading of every number of a row."""
PIXELS = ("boundary_jitter",)
"""Keys of the numbers that are no shares."""
HEAD = ("system", "protocol", "flow", "fingerprint", "size", "frames", "disturbance", "strength", "features")
"""What a row says of itself, before its numbers."""
WITH_INTERVAL = ("miou", "boundary_iou", "consistency", "flip_rate", "flip_interior", "gated", "warp_error")
PER_SCENE = ("miou", "consistency", "flip_rate", "flip_interior")
PER_PAIR = ("consistency", "flip_rate", "flip_interior")


@dataclass
class Row:
    """One system under one protocol with one flow; shares in percent, absent or None where not defined.

    Args:
        fingerprint: of the flow estimator: network, weights, settings.
        size: of the frames, HxW.
        shares: key of SHARES -> percent (warp_error: 100 x the mean squared change; boundary_jitter: pixels).
        intervals: key -> [low, high], 95 %, bootstrapped over blocks of 10 consecutive items; None below 5 blocks.
        per_class, per_pair: key -> one number a class, a pair of frames.
        series: what they were made of, for paired differences; not part of `as_dict`.
        scenes: names of the clips, where there are several.
        features: the encoder whose features matched the frames for `perceptual`.
        disturbance, strength: of the frames that the system saw; none where it saw them as they are.
    """

    system: str
    protocol: str
    flow: str
    fingerprint: str
    size: str
    frames: int
    shares: dict[str, float | None]
    intervals: dict[str, list[float] | None] = field(default_factory=dict)
    per_class: dict[str, list[float | None]] = field(default_factory=dict)
    per_pair: dict[str, list[float | None]] = field(default_factory=dict)
    series: Mapping[str, Series] = field(default_factory=dict, repr=False)
    scenes: Sequence[str] = ()
    disturbance: str = ""
    strength: float = 0.0
    features: str = ""

    def __getitem__(self, key: str) -> float | None:
        return self.shares.get(key)

    def forget(self, *keys: str) -> None:
        """Numbers that mean nothing for this system."""
        self.shares |= dict.fromkeys(keys)
        self.intervals |= dict.fromkeys(self.intervals.keys() & keys)
        self.per_pair = {key: numbers for key, numbers in self.per_pair.items() if key not in keys}
        self.series = {key: series for key, series in self.series.items() if key not in keys}

    def by_scene(self) -> dict[str, dict[str, float | None]]:
        """Scene -> key of PER_SCENE -> percent; empty where there is only one."""
        found: dict[str, dict[str, float | None]] = {}
        for clip, name in enumerate(self.scenes):
            parts = {key: s.of_clip(clip) for key, s in self.series.items() if key in PER_SCENE}
            found[name] = {key: percent(s.value()) for key, s in parts.items() if len(s.counts)}
        return found

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for json; the shares stand beside system and protocol, every key of SHARES is there."""
        named = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("shares", "series", "scenes")}
        shares = {key: self[key] for key in SHARES}
        return {key: named.pop(key) for key in HEAD} | shares | named | {"per_scene": self.by_scene()}


def as_json(rows: Sequence[Row], indent: int | None = None) -> str:
    """{"results": [...]}, one object a row."""
    return json.dumps({"results": [row.as_dict() for row in rows]}, indent=indent, allow_nan=False) + "\n"


def as_csv(rows: Sequence[Row]) -> str:
    """One line a row: its shares, the bounds of their intervals, and IoU and consistency class by class."""
    text = io.StringIO()
    classes = max((len(values) for row in rows for values in row.per_class.values()), default=0)
    bounds = [f"{key}_{end}" for key in WITH_INTERVAL for end in ("low", "high")]
    per_class = [f"{key}_{c}" for key in ("iou", "consistency") for c in range(classes)]
    table = csv.writer(text, lineterminator="\n")
    table.writerow([*HEAD, *SHARES, *bounds, *per_class])
    for row in rows:
        ends = [end for key in WITH_INTERVAL for end in row.intervals.get(key) or (None, None)]
        shares = [row[key] for key in SHARES]
        each = [v for key in ("iou", "consistency") for v in _padded(row.per_class.get(key, ()), classes)]
        table.writerow([*(getattr(row, key) for key in HEAD), *shares, *ends, *each])
    return text.getvalue()


def percent(share: Tensor) -> float | None:
    """A share as a percentage, None where it is NaN."""
    return None if bool(share.isnan()) else round(100 * float(share), 4)


def shown(key: str, value: Tensor) -> float | None:
    """A number of a row: a percentage, or pixels."""
    return percent(value / 100 if key in PIXELS else value)


def percents(shares: Iterable[Tensor]) -> list[float | None]:
    """As `percent`, one by one."""
    return [percent(share) for share in shares]


def _padded(values: Sequence[float | None], length: int) -> list[float | None]:
    return [*values, *[None] * (length - len(values))]
