"""Flicker made visible: systems side by side, and below each the pixels that flip along the motion."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from flow import visible, warp
from temporalkd.data.clip import IGNORE
from temporalkd.metrics import Consistency
from temporalkd.render.layout import column, page
from temporalkd.render.overlay import Palette, as_uint8
from temporalkd.render.video import VideoWriter

MAX_SYSTEMS = 4
_PANEL = 400  # pixels that a panel is made wide, at least, when the scale is left open

Flow = tuple[Tensor, Tensor]


class VideoFlow(Protocol):
    """What is asked of an estimator: the motion between consecutive frames, (1, 3, H, W) in [0, 1], lazily."""

    def video(self, frames: Iterable[Tensor]) -> Iterator[Flow]: ...


@dataclass
class _System:
    name: str
    maps: Iterator[Tensor]
    score: Consistency
    now: Tensor | None = None
    numbers: str = ""
    seen: int = field(default=0)

    def advance(self) -> Tensor:
        map_ = next(self.maps, None)
        if map_ is None:
            raise ValueError(f"'{self.name}' has {self.seen} maps, but there are more frames")
        self.seen += 1
        return map_.cpu()


def flicker_frames(
    frames: Iterable[Tensor],
    systems: Mapping[str, Iterable[Tensor]],
    *,
    flow: VideoFlow | Iterable[Flow],
    palette: Palette,
    classes: Sequence[str] = (),
    fps: float | Fraction = 25,
    scale: int | None = None,
    device: torch.device | str = "cpu",
) -> Iterator[Tensor]:
    """The pictures of the flicker video, one per frame; see `render_flicker` for the arguments.

    Holds two frames and two maps per system, whatever the length of the video.
    """
    if not 1 <= len(systems) <= MAX_SYSTEMS:
        raise ValueError(f"one to {MAX_SYSTEMS} systems fit side by side, got {len(systems)}")
    if scale is not None and scale < 1:
        raise ValueError(f"scale must be a whole number from 1, got {scale}")
    rows = [_System(name, iter(maps), Consistency(len(palette))) for name, maps in systems.items()]
    for index, (frame, motion) in enumerate(_with_motion(frames, flow, device)):
        shown = scale or max(1, round(_PANEL / frame.shape[2]))
        columns = []
        for system in rows:
            now = system.advance() if system.now is None else system.now
            flips = torch.zeros(now.shape, dtype=torch.bool)
            system.now = None
            if motion is not None:
                system.now = system.advance()
                flips = _compare(system, now, system.now, motion)
            columns.append(column(system.name, system.numbers, frame, now, flips, palette, shown))
        yield page(columns, f"frame {index + 1}   {float(index / fps):.2f} s", classes, palette)
    for system in rows:
        if next(system.maps, None) is not None:
            raise ValueError(f"'{system.name}' has more maps than there are frames ({system.seen})")


def render_flicker(
    frames: Iterable[Tensor],
    systems: Mapping[str, Iterable[Tensor]],
    out: Path,
    *,
    flow: VideoFlow | Iterable[Flow],
    palette: Palette,
    classes: Sequence[str] = (),
    fps: float | Fraction = 25,
    scale: int | None = None,
    device: torch.device | str = "cpu",
    progress: Callable[[int], None] | None = None,
) -> int:
    """Write the video in which flicker can be seen, and compared, at a glance.

    One column per system: its classes over the frame, and below it in red the pixels whose class is another one in
    the next frame, followed along the motion and only where they stay visible. The title carries the consistency
    (protocol `visible`, no labels) and the flip rate of all pairs so far. Everything is drawn from one at a time.

    Args:
        frames: (3, H, W), uint8 or in [0, 1].
        systems: name -> its class maps, (H, W), 255 where ignored; as many as frames, up to four systems.
        out: the mp4.
        flow: an estimator, or (forward, backward), each (1, 2, H, W), of consecutive frames.
        palette: (C, 3) RGB.
        classes: names for the legend, in the palette's order.
        scale: whole number by which small frames are enlarged; None makes panels about 400 pixels wide.
        device: where the estimator is.
        progress: called with the number of frames written.
    Returns:
        Number of frames written.
    Raises:
        ValueError: frames, maps and flow that do not fit each other in number or size.
        OSError: `out` cannot be written.
    """
    pages = flicker_frames(
        frames,
        systems,
        flow=flow,
        palette=palette,
        classes=classes,
        fps=fps,
        scale=scale,
        device=device,
    )
    with VideoWriter(out, fps) as writer:
        for page in pages:
            writer.write(page)
            if progress is not None:
                progress(writer.count)
    return writer.count


def _with_motion(
    frames: Iterable[Tensor], flow: VideoFlow | Iterable[Flow], device: torch.device | str
) -> Iterator[tuple[Tensor, Flow | None]]:
    """Each frame with the motion to the next one; the last one has none."""
    waiting: deque[Tensor] = deque()

    def feed() -> Iterator[Tensor]:
        for frame in frames:
            frame = as_uint8(frame)
            waiting.append(frame)
            yield frame.to(device).unsqueeze(0).float() / 255

    fed = feed()
    if hasattr(flow, "video"):
        motions = flow.video(fed)
    else:
        motions = _after_each_pair(fed, iter(flow))
    for forward, backward in motions:
        yield waiting.popleft(), (forward.cpu(), backward.cpu())
    if not waiting and next(fed, None) is None:
        raise ValueError("no frames to render")
    if len(waiting) != 1 or next(fed, None) is not None:
        raise ValueError("there is motion for fewer pairs than there are frames")
    yield waiting.popleft(), None


def _after_each_pair(fed: Iterator[Tensor], motions: Iterator[Flow]) -> Iterator[Flow]:
    if next(fed, None) is None:
        return
    for _ in fed:
        motion = next(motions, None)
        if motion is None:
            return
        yield motion


def _compare(system: _System, now: Tensor, after: Tensor, motion: Flow) -> Tensor:
    """(H, W) bool, where the class flips; updates the system's numbers."""
    forward, backward = motion
    if now.shape != after.shape or now.shape != forward.shape[2:]:
        raise ValueError(
            f"'{system.name}': maps are {tuple(now.shape)} and {tuple(after.shape)}, expected "
            f"{tuple(forward.shape[2:])} like the motion"
        )
    now, after = now.to(torch.uint8), after.to(torch.uint8)
    seen = visible(forward, backward)
    system.score.update(now[None], after[None], forward, seen, now[None], after[None])
    numbers = system.score.compute()
    system.numbers = f"consistency {100 * numbers['consistency']:.1f} %   flips {100 * numbers['flip_rate']:.2f} %"
    then = warp(after[None, None], forward, mode="nearest")[0, 0]
    return seen[0, 0] & (now != then) & (now != IGNORE) & (then != IGNORE)
