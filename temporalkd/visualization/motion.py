"""Frames with the motion to the next one, two held at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor

from temporalkd.visualization.overlay import as_uint8

Flow = tuple[Tensor, Tensor]
VideoFlow = Callable[[Iterator[Tensor]], Iterator[Flow]]
"""Frames, (1, 3, H, W) in [0, 1] -> the motion between consecutive ones, lazily; `video` of an estimator."""


def with_motion(
    frames: Iterable[Tensor], flow: VideoFlow | Iterable[Flow], device: torch.device | str
) -> Iterator[tuple[Tensor, Flow | None]]:
    """Each frame, (3, H, W) uint8, with (forward, backward), each (1, 2, H, W), to the next one; the last has none.

    Raises:
        ValueError: no frames; motion for fewer pairs than there are, or of another size.
    """
    waiting: deque[Tensor] = deque()

    def feed() -> Iterator[Tensor]:
        for frame in frames:
            frame = as_uint8(frame)
            waiting.append(frame)
            yield frame.to(device).unsqueeze(0).float() / 255

    fed = feed()
    motions = flow(fed) if callable(flow) else _after_each_pair(fed, iter(flow))
    for forward, backward in motions:
        frame = waiting.popleft()
        if forward.shape[2:] != frame.shape[1:]:
            raise ValueError(
                f"the motion is {tuple(forward.shape[2:])}, expected {tuple(frame.shape[1:])} like the frame"
            )
        yield frame, (forward.cpu(), backward.cpu())
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
