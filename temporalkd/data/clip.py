"""One training sample: adjacent frames, the labels that exist, the motion between them, and its augmentation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as V

IGNORE = 255
SMALLEST = 1e-5
"""A probability below it is read as this."""


class Motion(NamedTuple):
    """Motion from one frame to another, with or without a leading batch dimension.

    flow: (2, H, W) float32, pixels, this frame -> the other (dx right, dy down).
    backward: (2, H, W), the other frame -> this one.
    visible: (1, H, W) bool, the pixel of this frame is seen in the other one.
    """

    flow: Tensor
    backward: Tensor
    visible: Tensor


@dataclass
class Clip:
    """A batch of clips; every clip of a batch has the same T, anchor and pairs.

    Shape:
        frames: (B, T, 3, H, W) float32 RGB in [0, 1].
        labels: (B, T, H, W) int64, 255 where ignored; all 255 on frames without labels.
        labelled: (B, T) bool.
        valid: (B, T, 1, H, W) bool, false where augmentation padded.
        flow, backward: (B, P, 2, H, W), or None: then whoever needs the motion estimates it from the frames.
        visible: (B, P, 1, H, W) bool, or None like flow.
        targets: (B, T, C, h, w) float32, a teacher's log-probabilities, moved with the frames, or None.
        target_valid: (B, T, 1, h, w) bool, false where the teacher saw nothing.
        weak: (B, H, W) int64, the anchor's weak label, 255 where unknown; None where nobody asked for weak labels.
        pasted: (B, T, 1, H, W) bool, pixels of another clip, see `Mix`; None where nothing is pasted.
    `anchor` is the index of the labelled frame; `pairs` holds (anchor, neighbour) indices, one per flow.
    """

    frames: Tensor
    labels: Tensor
    labelled: Tensor
    valid: Tensor
    anchor: int
    pairs: list[tuple[int, int]]
    flow: Tensor | None = None
    backward: Tensor | None = None
    visible: Tensor | None = None
    weak: Tensor | None = None
    targets: Tensor | None = None
    target_valid: Tensor | None = None
    pasted: Tensor | None = None

    def to(self, device: torch.device | str) -> Clip:
        """The same clip on another device."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        moved: dict[str, Any] = {
            name: value.to(device, non_blocking=True) for name, value in values.items() if isinstance(value, Tensor)
        }
        return replace(self, **moved)


def collate(clips: Sequence[Clip]) -> Clip:
    """Join clips of batch size one into a batch.

    Raises:
        ValueError: the clips differ in layout, or only some of them carry exact motion.
    """
    first = clips[0]
    for clip in clips[1:]:
        if (clip.anchor, clip.pairs) != (first.anchor, first.pairs):
            raise ValueError(f"clips of one batch must share their layout, got {first.pairs} and {clip.pairs}")
        if (clip.flow is None) != (first.flow is None):
            raise ValueError("clips of one batch must all carry motion or none of them: do not mix exact and live flow")
        if clip.frames.shape != first.frames.shape:
            raise ValueError(
                f"clips of one batch must have one size, got {tuple(first.frames.shape[1:])} and "
                f"{tuple(clip.frames.shape[1:])}: set a crop size"
            )
    joined: dict[str, Any] = {
        f.name: torch.cat([getattr(clip, f.name) for clip in clips])
        for f in fields(first)
        if isinstance(getattr(first, f.name), Tensor)
    }
    return replace(first, **joined)


def as_clip(frames: Tensor | Clip, labels: Tensor | None = None) -> Clip:
    """A batch of anybody's making as a Clip.

    Shape:
        frames: (B, T, 3, H, W), floating point RGB in [0, 1], T of 1 to 3; a Clip stays as it is.
        labels: (B, H, W) int64 of the anchor frame (the only one of one, the first of two, the middle of three), or
            (B, T, H, W); 255 where there are none. None: no labels.
    Raises:
        ValueError: another shape or type, with what was expected.

    >>> import torch
    >>> clip = as_clip(torch.rand(2, 3, 3, 8, 8), torch.zeros(2, 8, 8, dtype=torch.long))
    >>> clip.anchor, clip.pairs, clip.labelled[0].tolist()
    (1, [(1, 0), (1, 2)], [False, True, False])
    """
    if isinstance(frames, Clip):
        return frames
    if not isinstance(frames, Tensor) or frames.ndim != 5 or frames.shape[2] != 3 or not 1 <= frames.shape[1] <= 3:
        found = tuple(frames.shape) if isinstance(frames, Tensor) else type(frames).__name__
        raise ValueError(
            f"frames: {found}, expected (B, T, 3, H, W) with T of 1 to 3; of single frames frames[:, None]"
        )
    if not frames.is_floating_point():
        raise ValueError(f"frames: {frames.dtype}, expected floating point in [0, 1]: frames.float() / 255")
    batch, length, _, height, width = frames.shape
    anchor = 1 if length == 3 else 0
    every = torch.full((batch, length, height, width), IGNORE, dtype=torch.long, device=frames.device)
    if labels is not None:
        if labels.shape == every.shape:
            every.copy_(labels)
        elif labels.shape == (batch, height, width):
            every[:, anchor] = labels
        else:
            raise ValueError(
                f"labels: {tuple(labels.shape)} for frames {tuple(frames.shape)}, expected {(batch, height, width)} of "
                f"the anchor frame (number {anchor}), or {tuple(every.shape)} with {IGNORE} where there are none"
            )
    return Clip(
        frames=frames.float(),
        labels=every,
        labelled=(every != IGNORE).flatten(2).any(2),
        valid=torch.ones(batch, length, 1, height, width, dtype=torch.bool, device=frames.device),
        anchor=anchor,
        pairs=[(anchor, k) for k in range(length) if k != anchor],
    )


class RandomScale(v2.Transform):
    """Resize everything by one factor, log-uniform in `scale`; masks by the nearest pixel centre."""

    def __init__(self, scale: tuple[float, float]):
        super().__init__()
        self.scale = scale

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Draw the factor; the new size follows from the first input's."""
        low, high = (torch.tensor(s).log().item() for s in self.scale)
        factor = torch.empty(()).uniform_(low, high).exp().item()
        height, width = V.get_size(flat_inputs[0])
        return {"size": [max(1, round(height * factor)), max(1, round(width * factor))]}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Resize one input by its kind."""
        if isinstance(inpt, tv_tensors.Mask):
            resized = F.interpolate(inpt.as_subclass(Tensor)[None], params["size"], mode="nearest-exact")[0]
            return tv_tensors.wrap(resized, like=inpt)
        return V.resize(inpt, params["size"], antialias=True)


@dataclass(frozen=True)
class Augment:
    """What is done to a clip's geometry: scale, crop (padding where the frame is smaller), horizontal flip.

    Masks that are padded are filled with 255: for labels that means ignored, for the others "made up".
    """

    crop: tuple[int, int] | None = None
    scale: tuple[float, float] = (1.0, 1.0)
    flip: bool = True

    def __call__(self, sample: dict[str, Any], seed: int) -> dict[str, Any]:
        """Transform a dict of tv_tensors (frames first) with one draw that depends on `seed` alone."""
        steps: list[v2.Transform] = []
        if self.scale != (1.0, 1.0):
            steps.append(RandomScale(self.scale))
        if self.crop is not None:
            fill: dict[Any, Any] = {tv_tensors.Mask: IGNORE, "others": 0}
            steps.append(v2.RandomCrop(self.crop, pad_if_needed=True, fill=fill))
        if self.flip:
            steps.append(v2.RandomHorizontalFlip())
        if not steps:
            return sample
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return v2.Compose(steps)(sample)


class ColourJitter(nn.Module):
    """Brightness, contrast and saturation of a clip times 1 - strength to 1 + strength, the same for all its frames."""

    def __init__(self, strength: float):
        super().__init__()
        from kornia.augmentation import ColorJitter, VideoSequential

        jiggle = ColorJitter(brightness=strength, contrast=strength, saturation=strength, p=1.0)
        self.video = VideoSequential(jiggle, data_format="BTCHW", same_on_frame=True)

    @torch.no_grad()
    def forward(self, frames: Tensor, seed: int) -> Tensor:
        """(B, T, 3, H, W) in [0, 1] -> the same with other colours, a function of `seed` alone."""
        devices = [frames.device] if frames.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(seed)
            return self.video(frames).clamp(0, 1)


class Coordinates(tv_tensors.TVTensor):
    """Positions (x, y) that follow their frames through the transforms of `Augment`: resize, pad, crop, flip.

    What is kept for the whole frame, at any resolution, is read at them afterwards, with a single interpolation.

    Shape:
        (..., 2, H, W) float32: channel 0 = x, 1 = y, pixels of the original frame; NaN where nothing of it is.
    """


def identity(height: int, width: int) -> Tensor:
    """(2, H, W), each pixel's own position."""
    y, x = torch.meshgrid(torch.arange(height).float(), torch.arange(width).float(), indexing="ij")
    return torch.stack([x, y])


def read_at(log_probs: Tensor, size: tuple[int, int], coordinates: Tensor) -> tuple[Tensor, Tensor]:
    """Log-probabilities of a frame, read where each cell of a transformed frame lies in it.

    They are interpolated as probabilities.

    Shape:
        log_probs: (C, h, w), of the whole frame.
        coordinates: (2, H', W'), of the transformed frame.
    Args:
        size: (H, W) of the frame, pixels.
    Returns:
        ((C, h', w') log-probabilities, (1, h', w') bool), at the same number of pixels a cell.
    """
    cells = [
        -(-side // round(whole / kept)) for side, whole, kept in zip(coordinates.shape[1:], size, log_probs.shape[1:])
    ]
    centres = F.interpolate(coordinates[None], cells, mode="bilinear", align_corners=False)[0]
    valid = centres.isfinite().all(0, keepdim=True)
    span = centres.new_tensor([size[1], size[0]]).view(2, 1, 1)
    where = ((2 * centres + 1) / span - 1).nan_to_num(0).permute(1, 2, 0)[None]
    probs = F.grid_sample(log_probs.exp()[None], where, "bilinear", padding_mode="border", align_corners=False)
    return probs[0].clamp(min=SMALLEST).log().log_softmax(0), valid


def _kernel(name: str) -> Callable[[Callable[..., Tensor]], Callable[..., Tensor]]:
    """Register a function of plain tensors for a functional of transforms.v2."""

    def register(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def kernel(positions: Coordinates, *args: Any, **kwargs: Any) -> Coordinates:
            return function(positions.as_subclass(Tensor), *args, **kwargs).as_subclass(Coordinates)

        V.register_kernel(name, Coordinates)(kernel)
        return function

    return register


@_kernel("horizontal_flip")
def _horizontal_flip(positions: Tensor) -> Tensor:
    return positions.flip(-1)


@_kernel("resize")
def _resize(positions: Tensor, size: list[int], *_: Any, **__: Any) -> Tensor:
    return F.interpolate(positions, size, mode="bilinear", align_corners=False)


@_kernel("crop")
def _crop(positions: Tensor, top: int, left: int, height: int, width: int) -> Tensor:
    return V.crop_image(positions, top, left, height, width)


@_kernel("pad")
def _pad(positions: Tensor, padding: list[int], fill: Any = None, padding_mode: str = "constant") -> Tensor:
    return V.pad_image(positions, padding, fill=float("nan"), padding_mode="constant")


@V.register_kernel("get_size", Coordinates)
def _get_size(positions: Coordinates) -> list[int]:
    return list(positions.shape[-2:])
