"""Flicker made visible: systems side by side, and below each the pixels that flip along the motion."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from flow import visible, warp
from temporalkd.data.clip import IGNORE
from temporalkd.metrics.confusion import confusion, iou, margins
from temporalkd.visualization.heatmap import TRAIL, Heat
from temporalkd.visualization.layout import Panel, page, panel_size
from temporalkd.visualization.motion import Flow, VideoFlow, with_motion
from temporalkd.visualization.overlay import Palette
from temporalkd.visualization.video import VideoWriter

MAX_SYSTEMS = 4


def flicker_frames(
    frames: Iterable[Tensor],
    systems: Mapping[str, Iterable[Tensor]],
    *,
    flow: VideoFlow | Iterable[Flow],
    palette: Palette,
    classes: Sequence[str] = (),
    fps: float | Fraction = 25,
    scale: float | None = None,
    first: int = 0,
    trail: float = TRAIL,
    device: torch.device | str = "cpu",
) -> Iterator[Tensor]:
    """Pictures in which flicker can be seen, and compared, at a glance: one per frame, (3, H, W) uint8.

    One column per system: its classes over the frame, and below it in red the pixels whose class is another one in
    the next frame, followed along the motion and only where they stay visible, over the heat of where that happened
    lately. The title carries the consistency (protocol `visible`, no labels) and the flip rate of all pairs so far.
    Holds two frames, and per system two maps and its heat, whatever the length of the video.

    Args:
        frames: (3, H, W), uint8 or in [0, 1].
        systems: name -> its class maps, (H, W), 255 where ignored; as many as frames, up to four systems.
        flow: an estimator's `video`, or (forward, backward), each (1, 2, H, W), of consecutive frames.
        palette: (C, 3) RGB.
        classes: names for the legend, in the palette's order.
        scale: by which frames are enlarged or reduced; None enlarges small ones to panels about 400 pixels wide.
        first: the number of the first frame, for the clock.
        trail: frames within which the heat of a flip fades to 1/e.
        device: where the estimator is.
    Raises:
        ValueError: frames, maps and flow that do not fit each other in number or size.
    """
    if not 1 <= len(systems) <= MAX_SYSTEMS:
        raise ValueError(f"one to {MAX_SYSTEMS} systems fit side by side, got {len(systems)}")
    rows = [_System(name, iter(maps), min(len(palette), IGNORE), Heat(trail)) for name, maps in systems.items()]
    for index, (frame, motion) in enumerate(with_motion(frames, flow, device), start=first):
        size = panel_size(frame.shape[1:], len(rows), scale)
        panels = [system.show(index, frame, motion) for system in rows]
        clock = f"frame {index}   {float(index / fps):.2f} s"
        yield page(frame, panels, size, clock, trail, classes, palette)
    for system in rows:
        if next(system.maps, None) is not None:
            raise ValueError(f"'{system.name}' has more maps than there are frames ({system.read})")


def render_flicker(
    frames: Iterable[Tensor],
    systems: Mapping[str, Iterable[Tensor]],
    out: Path,
    *,
    fps: float | Fraction = 25,
    progress: Callable[[int], None] | None = None,
    **options: Any,
) -> int:
    """Write a video of `flicker_frames`; everything is drawn from one at a time.

    Args:
        out: the mp4.
        progress: called with the number of frames written.
        options: of `flicker_frames`.
    Returns:
        Number of frames written.
    Raises:
        ValueError: as `flicker_frames`.
        OSError: `out` cannot be written.
    """
    with VideoWriter(out, fps) as writer:
        for picture in flicker_frames(frames, systems, fps=fps, **options):
            writer.write(picture)
            if progress is not None:
                progress(writer.count)
    return writer.count


@dataclass
class _System:
    """One column: reads a map ahead, and keeps sums, never what it has shown."""

    name: str
    maps: Iterator[Tensor]
    classes: int
    heat: Heat
    ahead: Tensor | None = None
    read: int = 0
    tally: _Tally = field(init=False)

    def __post_init__(self) -> None:
        self.tally = _Tally(self.classes)

    def show(self, index: int, frame: Tensor, motion: Flow | None) -> Panel:
        """The panel of the next frame, (3, H, W), which people know by the number `index`."""
        now = self._next(index, frame) if self.ahead is None else self.ahead
        flips = torch.zeros(now.shape, dtype=torch.bool)
        if motion is not None:
            self.ahead = self._next(index + 1, frame)
            forward, backward = motion
            then = warp(self.ahead[None, None], forward, mode="nearest")[0, 0]
            counted = visible(forward, backward)[0, 0] & (now != IGNORE) & (then != IGNORE)
            flips = self.tally.add(now, then, counted)
        return Panel(self.name, self.tally.numbers, now, flips, self.heat.add(flips))

    def _next(self, index: int, frame: Tensor) -> Tensor:
        map_ = next(self.maps, None)
        if map_ is None:
            raise ValueError(f"'{self.name}' has {self.read} maps, but there are more frames")
        if map_.shape != frame.shape[1:]:
            raise ValueError(
                f"'{self.name}', frame {index}: the map is {map_.shape[-1]}x{map_.shape[0]}, "
                f"expected {frame.shape[2]}x{frame.shape[1]} like its frame"
            )
        known = map_[map_ != IGNORE]
        for class_ in (int(known.min()), int(known.max())) if known.numel() else ():
            if not 0 <= class_ < self.classes:
                raise ValueError(
                    f"'{self.name}', frame {index}: the map has class {class_}, "
                    f"the palette has colours of 0 to {self.classes - 1}"
                )
        self.read += 1
        return map_.to("cpu", torch.uint8)


class _Tally:
    """Consistency (protocol `visible`, no labels) and flip rate of all pairs so far, from sums.

    The metrics keep a row per pair, for intervals, and would add all of them up again at each frame.
    """

    def __init__(self, classes: int) -> None:
        self.classes = classes
        self.margins = torch.zeros(3 * classes, dtype=torch.long)
        self.flipped = self.counted = 0
        self.numbers = ""

    def add(self, now: Tensor, then: Tensor, counted: Tensor) -> Tensor:
        """Count a pair: maps of t, and of t + 1 seen from t, (H, W); returns the flips, (H, W) bool."""
        flips = counted & (now != then)
        self.margins += margins(confusion(now, then, self.classes, counted))
        self.flipped += int(flips.sum())
        self.counted += int(counted.sum())
        if self.counted:
            consistency, flip_rate = float(iou(self.margins).nanmean()), self.flipped / self.counted
            self.numbers = f"consistency {100 * consistency:.1f} %   flips {100 * flip_rate:.2f} %"
        return flips
