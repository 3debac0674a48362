"""Pictures of class maps: colours, and overlays on the frame."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from temporalkd.data.clip import IGNORE

Palette = Tensor | Sequence[Sequence[int]]
Picture = NDArray[np.uint8]

RED = (235, 30, 40)
"""Marks the pixels that flip, and nothing else."""


def default_palette(classes: int) -> Tensor:
    """(classes, 3) uint8 colours, each as far from all before it as can be, and from the red that marks flips."""
    if not 1 <= classes <= IGNORE + 1:
        raise ValueError(f"a palette has 1 to {IGNORE + 1} colours, got {classes}")
    levels = np.arange(55, 236, 30, dtype=np.uint8)
    colours = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(-1, 3)
    taken = np.array([RED, (0, 0, 0), (255, 255, 255), (255, 120, 120)], np.uint8)
    everything = np.concatenate([taken, colours])
    perceived = cv2.cvtColor(everything[None].astype(np.float32) / 255, cv2.COLOR_RGB2LAB)[0]
    distance = np.linalg.norm(perceived[:, None] - perceived[None, : len(taken)], axis=2).min(1)
    chosen: list[int] = []
    for _ in range(classes):
        chosen.append(int(distance.argmax()))
        distance = np.minimum(distance, np.linalg.norm(perceived - perceived[chosen[-1]], axis=1))
    return torch.from_numpy(everything[chosen])


def colourise(labels: Tensor, palette: Palette) -> Tensor:
    """Class map to colours; ignored pixels are black.

    Shape:
        labels: (H, W), integers, 255 where ignored.
        palette: (C, 3), RGB 0 to 255.
    Returns:
        (3, H, W) uint8.
    Raises:
        ValueError: a class without a colour.
    """
    if labels.ndim != 2:
        raise ValueError(f"colourise: labels are {tuple(labels.shape)}, expected (H, W)")
    colours = torch.as_tensor(palette)
    if colours.ndim != 2 or colours.shape[1] != 3 or len(colours) > IGNORE + 1:
        raise ValueError(
            f"colourise: palette is {tuple(colours.shape)}, expected (C, 3) with at most {IGNORE + 1} colours"
        )
    table = torch.zeros(IGNORE + 1, 3, dtype=torch.uint8)
    table[: len(colours)] = colours.to(torch.uint8)
    table[IGNORE] = 0
    labels = labels.cpu().long()
    wrong = (labels != IGNORE) & ((labels >= len(colours)) | (labels < 0))
    if wrong.any():
        raise ValueError(f"class {int(labels[wrong][0])} has no colour: the palette has {len(colours)}")
    return table[labels].permute(2, 0, 1)


def overlay(frame: Tensor, labels: Tensor, palette: Palette, alpha: float = 0.5) -> Tensor:
    """Class colours over the frame; where the label is ignored, the frame alone.

    Shape:
        frame: (3, H, W), uint8 or floating point in [0, 1].
        labels: (H, W).
    Args:
        alpha: 0 shows the frame, 1 the colours.
    Returns:
        (3, H, W) uint8.
    """
    frame = as_uint8(frame)
    same_size("labels", labels, frame)
    colours = colourise(labels, palette)
    mixed = (frame * (1 - alpha) + colours * alpha).round().to(torch.uint8)
    return torch.where(labels.cpu() == IGNORE, frame, mixed)


def flips_in_red(frame: Tensor, flips: Tensor) -> Tensor:
    """The frame in dim grey, with the pixels of the mask in red.

    Shape:
        frame: (3, H, W), uint8 or floating point in [0, 1].
        flips: (H, W), bool.
    Returns:
        (3, H, W) uint8.
    """
    return in_red(dim(frame), flips)


def dim(frame: Tensor) -> Tensor:
    """A frame (3, H, W) in dim grey, on which colours stand out; uint8."""
    return (as_uint8(frame).float().mean(0, keepdim=True) * 0.45 + 18).round().to(torch.uint8).expand(3, -1, -1)


def in_red(image: Tensor, flips: Tensor) -> Tensor:
    """An image (3, H, W) uint8 with the pixels of the mask (H, W) in red."""
    same_size("flips", flips, image)
    return torch.where(flips.cpu().bool(), torch.tensor(RED, dtype=torch.uint8).view(3, 1, 1), image)


def as_uint8(frame: Tensor) -> Tensor:
    """(3, H, W) uint8 on the CPU, from uint8 or from floating point in [0, 1]."""
    if frame.ndim != 3 or frame.shape[0] != 3:
        raise ValueError(f"frame is {tuple(frame.shape)}, expected (3, H, W)")
    frame = frame.cpu()
    return frame if frame.dtype == torch.uint8 else (frame.float().clamp(0, 1) * 255).round().to(torch.uint8)


def resize(image: Tensor, size: tuple[int, int], *, smooth: bool = False) -> Tensor:
    """(3, H, W) or (H, W) at another size (height, width): smooth for photographs, else pixels are repeated or dropped.

    Any type that OpenCV resizes: uint8, float32; bool where not smooth.
    """
    if tuple(image.shape[-2:]) == size:
        return image
    shrinks = size[0] < image.shape[-2]
    how = (cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC) if smooth else cv2.INTER_NEAREST
    plain = image.to(torch.uint8) if image.dtype == torch.bool else image
    picture = to_picture(plain) if image.ndim == 3 else plain.numpy()
    resized = torch.from_numpy(cv2.resize(picture, size[::-1], interpolation=how))
    return resized.permute(2, 0, 1) if image.ndim == 3 else resized.to(image.dtype)


def enlarge(image: Tensor, scale: int, *, smooth: bool = False) -> Tensor:
    """`resize` to a whole number of times the size."""
    return resize(image, (image.shape[-2] * scale, image.shape[-1] * scale), smooth=smooth)


def to_picture(image: Tensor) -> Picture:
    """(3, H, W) uint8 -> (H, W, 3) array that OpenCV draws on."""
    return np.ascontiguousarray(image.permute(1, 2, 0).numpy())


def from_picture(picture: Picture) -> Tensor:
    """(H, W, 3) array -> (3, H, W) uint8."""
    return torch.from_numpy(picture).permute(2, 0, 1)


def same_size(what: str, mask: Tensor, frame: Tensor) -> None:
    """Refuse a mask (H, W) that is not of the size of its frame (3, H, W)."""
    if mask.shape != frame.shape[1:]:
        raise ValueError(f"{what} are {tuple(mask.shape)}, expected {tuple(frame.shape[1:])} like the frame")
