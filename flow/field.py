"""FlowField: optical flow that torchvision's transforms.v2 move together with frames and labels.

transforms.v2 hands every tv_tensor of a sample the same draw, but leaves types that it does not know untouched, without
a word: a flow field that stays behind when its frames are flipped is wrong everywhere. So each geometric functional
is registered here, either with a kernel that moves the vectors too, or with one that refuses.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional as V

from .sampling import raised
from .warp import resize_flow

REFUSED = ("affine", "rotate", "perspective", "elastic", "uniform_temporal_subsample")
UNCHANGED = (
    "adjust_brightness",
    "adjust_contrast",
    "adjust_gamma",
    "adjust_hue",
    "adjust_saturation",
    "adjust_sharpness",
    "autocontrast",
    "equalize",
    "erase",
    "gaussian_blur",
    "gaussian_noise",
    "grayscale_to_rgb",
    "invert",
    "jpeg",
    "normalize",
    "permute_channels",
    "posterize",
    "rgb_to_grayscale",
    "solarize",
    "to_dtype",
)


class FlowField(tv_tensors.TVTensor):
    """A flow field, or a stack of them, that follows its frames through transforms.v2.

    Flips negate the component they mirror, resizing rescales the vectors, crops slice, padding adds zero vectors.
    A vector that ends outside after a crop is told by `flow.in_frame`. Rotation, affine, perspective and elastic
    transforms raise TypeError; colour transforms leave the field as it is.

    Shape:
        (..., 2, H, W): channel 0 = dx to the right, 1 = dy down, pixels of H x W.
    """

    def __new__(
        cls,
        data: Any,
        *,
        dtype: torch.dtype | None = None,
        device: torch.device | str | int | None = None,
        requires_grad: bool | None = None,
    ) -> FlowField:
        tensor = raised(cls._to_tensor(data, dtype=dtype, device=device, requires_grad=requires_grad))
        if tensor.ndim < 3 or tensor.shape[-3] != 2:
            raise ValueError(f"FlowField: data is {tuple(tensor.shape)}, expected (..., 2, H, W)")
        return tensor.as_subclass(cls)


def _kernel(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register a function of plain tensors for a functional of transforms.v2, and make its results FlowFields again."""

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        def kernel(field: FlowField, *args: Any, **kwargs: Any) -> Any:
            output = function(field.as_subclass(Tensor), *args, **kwargs)
            if isinstance(output, tuple):
                return tuple(part.as_subclass(FlowField) for part in output)
            return output.as_subclass(FlowField)

        V.register_kernel(name, FlowField)(kernel)
        return function

    return register


@_kernel("horizontal_flip")
def _horizontal_flip(field: Tensor) -> Tensor:
    return field.flip(-1) * field.new_tensor([-1, 1]).view(2, 1, 1)


@_kernel("vertical_flip")
def _vertical_flip(field: Tensor) -> Tensor:
    return field.flip(-2) * field.new_tensor([1, -1]).view(2, 1, 1)


@_kernel("resize")
def _resize(
    field: Tensor,
    size: int | Sequence[int] | None,
    interpolation: Any = None,
    max_size: int | None = None,
    antialias: bool | None = True,
) -> Tensor:
    # An image without storage tells the size that torchvision gives the frames of this sample, in all its cases.
    stand_in = torch.empty((1, *field.shape[-2:]), device="meta")
    height, width = V.resize_image(stand_in, size, max_size=max_size, antialias=False).shape[-2:]
    return resize_flow(field, (height, width))


@_kernel("crop")
def _crop(field: Tensor, top: int, left: int, height: int, width: int) -> Tensor:
    return V.crop_image(field, top, left, height, width)


@_kernel("center_crop")
def _center_crop(field: Tensor, output_size: list[int]) -> Tensor:
    return V.center_crop_image(field, output_size)


@_kernel("resized_crop")
def _resized_crop(
    field: Tensor,
    top: int,
    left: int,
    height: int,
    width: int,
    size: list[int],
    interpolation: Any = None,
    antialias: bool | None = True,
) -> Tensor:
    return _resize(V.crop_image(field, top, left, height, width), size)


@_kernel("pad")
def _pad(field: Tensor, padding: list[int], fill: Any = None, padding_mode: str = "constant") -> Tensor:
    # Zeros whatever the frames are filled or continued with: there is no motion to know there.
    return V.pad_image(field, padding, fill=0, padding_mode="constant")


@_kernel("five_crop")
def _five_crop(field: Tensor, size: list[int]) -> tuple[Tensor, ...]:
    return V.five_crop_image(field, size)


@_kernel("ten_crop")
def _ten_crop(field: Tensor, size: list[int], vertical_flip: bool = False) -> tuple[Tensor, ...]:
    flipped = _vertical_flip(field) if vertical_flip else _horizontal_flip(field)
    return V.five_crop_image(field, size) + V.five_crop_image(flipped, size)


@V.register_kernel("get_size", FlowField)
def _get_size(field: FlowField) -> list[int]:
    return list(field.shape[-2:])


def _refuse(name: str) -> None:
    def kernel(field: FlowField, *args: Any, **kwargs: Any) -> FlowField:
        raise TypeError(f"FlowField: transforms.v2 {name} would leave wrong vectors; apply it before flow is estimated")

    V.register_kernel(name, FlowField)(kernel)


def _leave(name: str) -> None:
    def kernel(field: FlowField, *args: Any, **kwargs: Any) -> FlowField:
        return field

    V.register_kernel(name, FlowField)(kernel)


for _name in REFUSED:
    _refuse(_name)
for _name in UNCHANGED:
    if hasattr(V, _name):
        _leave(_name)
