"""Flow for the eye: the Middlebury colour wheel, and arrows over a frame."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .files import single

STRETCHES = (
    # from, to, number of steps: red to yellow to green to cyan to blue to magenta to red
    ((255, 0, 0), (255, 255, 0), 15),
    ((255, 255, 0), (0, 255, 0), 6),
    ((0, 255, 0), (0, 255, 255), 4),
    ((0, 255, 255), (0, 0, 255), 11),
    ((0, 0, 255), (255, 0, 255), 13),
    ((255, 0, 255), (255, 0, 0), 6),
)


def to_image(field: Tensor, maximum: float | None = None) -> Tensor:
    """Colour code a flow field: hue is direction (right is red), saturation is length.

    Shape:
        field: (2, H, W) or (1, 2, H, W), pixels.
    Args:
        maximum: length of full saturation, pixels; longer vectors are darkened. None takes the longest vector of this
            field; give a number to keep the colours of a video comparable.
    Returns:
        uint8 (3, H, W), RGB; black where the flow is not finite or marked unknown (above 1e9).
    Source:
        Baker et al., ICCV 2007.
    """
    vectors = single(field, "to_image")
    if maximum is not None and not maximum > 0:
        raise ValueError(f"to_image: maximum is {maximum}, expected a positive length in pixels")
    known = (vectors.isfinite() & (vectors.abs() <= 1e9)).all(0)
    dx, dy = torch.where(known, vectors, torch.zeros_like(vectors))
    length = torch.hypot(dx, dy)
    length = length / max(maximum or float(length.max()), torch.finfo(torch.float32).eps)

    wheel = _wheel()
    position = (torch.atan2(-dy, -dx) / math.pi + 1) / 2 * (len(wheel) - 1)
    lower = position.floor().long()
    share = (position - lower).unsqueeze(-1)
    hue = (1 - share) * wheel[lower] + share * wheel[(lower + 1) % len(wheel)]

    length = length.unsqueeze(-1)
    colour = torch.where(length <= 1, 1 - length * (1 - hue), hue * 0.75)
    return ((colour * 255).floor() * known.unsqueeze(-1)).byte().permute(2, 0, 1).contiguous()


def arrows(image: Tensor, field: Tensor, step: int = 16) -> Tensor:
    """Draw every step-th flow vector over a frame, from where its content is to where it goes.

    Shape:
        image: (3, H, W) or (1, 3, H, W), uint8, or floating point in [0, 1].
        field: (2, H, W) or (1, 2, H, W), pixels.
    Returns:
        uint8 (3, H, W), RGB.
    """
    import cv2

    vectors = single(field, "arrows")
    frame = image[0] if image.ndim == 4 and image.shape[0] == 1 else image
    if frame.ndim != 3 or frame.shape[0] != 3 or frame.shape[1:] != vectors.shape[1:]:
        raise ValueError(f"arrows: image is {tuple(image.shape)}, field is {tuple(field.shape)}, expected one size")
    if step < 1:
        raise ValueError(f"arrows: step is {step}, expected at least 1")
    frame = frame.as_subclass(Tensor).detach().cpu()
    if frame.is_floating_point():
        frame = (frame * 255).round().clamp(0, 255)
    canvas = frame.byte().permute(1, 2, 0).contiguous().numpy().copy()
    height, width = vectors.shape[1:]
    for y in range(step // 2, height, step):
        for x in range(step // 2, width, step):
            dx, dy = vectors[:, y, x].tolist()
            if math.isfinite(dx) and math.isfinite(dy) and math.hypot(dx, dy) < height + width:
                tip = (round(x + dx), round(y + dy))
                cv2.arrowedLine(canvas, (x, y), tip, (255, 255, 0), 1, cv2.LINE_AA, tipLength=0.3)
    return torch.from_numpy(canvas).permute(2, 0, 1).contiguous()


def _wheel() -> Tensor:
    """The 55 hues in order, (55, 3), in [0, 1]; each channel is a whole number of 255ths."""
    stretches = []
    for start, end, steps in STRETCHES:
        share = torch.arange(steps).unsqueeze(1) / steps
        low, high = torch.tensor(start), torch.tensor(end)
        rises = ((high - low) * share).abs().mul(1 + 1e-7).floor()
        stretches.append(low + (high - low).sign() * rises)
    return torch.cat(stretches) / 255
