"""Flow in the two file formats that benchmarks use: Middlebury .flo and KITTI 16-bit .png."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .atomic import write_whole

MAGIC = 202021.25
HEADER = 12


def read_flo(path: str | os.PathLike[str]) -> Tensor:
    """Read a Middlebury .flo file.

    Returns:
        (2, H, W), float32, pixels. Values above 1e9 mark unknown flow, as the format has it.
    Raises:
        ValueError: not a .flo file, or one of the wrong length; it names the file.
    Source:
        Baker et al., IJCV 2011: float32 magic, int32 width and height, then (u, v) by rows, little endian.
    """
    content = Path(path).read_bytes()
    if len(content) < HEADER:
        raise ValueError(f"{path}: {len(content)} bytes are too few for a .flo file")
    magic, width, height = struct.unpack_from("<fii", content)
    if magic != MAGIC:
        raise ValueError(f"{path}: not a .flo file, it begins with {magic!r} instead of {MAGIC}")
    if min(width, height) < 1:
        raise ValueError(f"{path}: size {height} x {width} in the header")
    expected = HEADER + 8 * width * height
    if len(content) != expected:
        raise ValueError(f"{path}: {len(content)} bytes, expected {expected} for {height} x {width}")
    values = np.frombuffer(content, "<f4", offset=HEADER).reshape(height, width, 2)
    return torch.from_numpy(values.transpose(2, 0, 1).astype(np.float32))


def write_flo(path: str | os.PathLike[str], field: Tensor) -> None:
    """Write a Middlebury .flo file, whole or not at all.

    Shape:
        field: (2, H, W) or (1, 2, H, W), pixels.
    """
    values = single(field, "write_flo").permute(1, 2, 0).numpy().astype("<f4")
    height, width = values.shape[:2]
    write_whole(Path(path), struct.pack("<fii", MAGIC, width, height) + values.tobytes())


def read_kitti(path: str | os.PathLike[str]) -> tuple[Tensor, Tensor]:
    """Read a KITTI flow .png.

    Returns:
        flow (2, H, W), float32, pixels, 0 where invalid; valid (1, H, W), bool.
    Raises:
        ValueError: not a readable 16-bit, 3-channel PNG; it names the file.
    Source:
        Geiger et al., KITTI development kit: u, v = (value - 2^15) / 64 in red and green, validity in blue.
    """
    import cv2

    try:
        image = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise ValueError(f"{path}: not a readable PNG file ({error.err})") from error
    if image is None:
        raise ValueError(f"{path}: not a readable PNG file")
    if image.dtype != np.uint16 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"{path}: a {image.dtype} image of shape {image.shape}, expected 16 bit and 3 channels")
    planes = torch.from_numpy(image[..., ::-1].transpose(2, 0, 1).astype(np.float32))
    valid = planes[2:] > 0
    return (planes[:2] - 2**15) / 64 * valid, valid


def write_kitti(path: str | os.PathLike[str], field: Tensor, valid: Tensor | None = None) -> None:
    """Write a KITTI flow .png, whole or not at all; vectors are rounded to 1/64 px.

    Shape:
        field: (2, H, W) or (1, 2, H, W), pixels.
        valid: (1, H, W) or (1, 1, H, W), bool; everywhere if left out.
    Raises:
        ValueError: a valid vector outside -512..511.98 px, which the format cannot hold.
    """
    import cv2

    vectors = single(field, "write_kitti")
    height, width = vectors.shape[1:]
    mask = torch.ones(1, height, width, dtype=torch.bool) if valid is None else valid.detach().cpu().bool()
    if mask.numel() != height * width:
        raise ValueError(f"write_kitti: valid is {tuple(mask.shape)}, flow is {tuple(vectors.shape)}")
    mask = mask.reshape(1, height, width)
    raw = (vectors.double() * 64 + 2**15).round()
    if not bool((((raw >= 0) & (raw <= 2**16 - 1)) | ~mask).all()):
        raise ValueError(f"{path}: a valid vector lies outside -512..511.98 px, which KITTI's format cannot hold")
    raw = torch.where(mask, raw, torch.zeros_like(raw))
    planes = torch.cat((raw, mask.double())).numpy().astype(np.uint16)
    done, encoded = cv2.imencode(".png", np.ascontiguousarray(planes[::-1].transpose(1, 2, 0)))
    if not done:
        raise ValueError(f"{path}: OpenCV could not encode {height} x {width} flow as PNG")
    write_whole(Path(path), encoded.tobytes())


def single(field: Tensor, caller: str) -> Tensor:
    """One field (2, H, W) on the CPU in float32, from (2, H, W) or (1, 2, H, W)."""
    one = field[0] if field.ndim == 4 and field.shape[0] == 1 else field
    if one.ndim != 3 or one.shape[0] != 2:
        raise ValueError(f"{caller}: field is {tuple(field.shape)}, expected (2, H, W) or (1, 2, H, W)")
    return one.as_subclass(Tensor).detach().cpu().float()
