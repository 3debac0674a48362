"""Readers of flow and images."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from flow import read_flo, read_kitti, write_flo, write_kitti
from flow.store import Store
from soaks.reader import Reader
from temporalkd.data.images import image_size, read_image
from temporalkd.data.maps import read_map
from temporalkd.data.palettes import palette
from temporalkd.data.street import CLASSES, Street

SIZE = (48, 64)


def _street() -> Street:
    return Street(seed=1, length=8, size=SIZE)


# Flow


def _flow() -> Tensor:
    return torch.randn(2, 13, 17, generator=torch.Generator().manual_seed(0)) * 9


def _write_flo(folder: Path) -> Path:
    write_flo(folder / "a.flo", _flow())
    return folder / "a.flo"


def _write_kitti(folder: Path) -> Path:
    write_kitti(folder / "a.png", _flow())
    return folder / "a.png"


def _is_field(field: Tensor) -> bool:
    return field.dtype == torch.float32 and field.ndim == 3 and len(field) == 2 and field.numel() > 0


def _write_entry(folder: Path) -> Path:
    Store(folder, 2**20).save("a pair", {"forward": _flow().half()})
    return next(folder.rglob("*.flow"))


def _read_entry(path: Path) -> dict[str, Tensor]:
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        found = Store(path.parents[1], 2**20).load("a pair", {"forward": ((2, None, None), torch.float16)})
    if not found:
        raise ValueError(
            str(told[0].message) if told else f"{path}: the store lacks what is expected, and says nothing"
        )
    return found


def _is_entry(found: dict[str, Tensor]) -> bool:
    field = found["forward"]
    return field.dtype == torch.float16 and field.ndim == 3 and len(field) == 2


# Footage


def _write_image(suffix: str, deep: bool = False, **options: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        frame = _street().frame(0).permute(1, 2, 0).numpy()
        picture = Image.fromarray(frame[..., 0].astype(np.uint16) * 257) if deep else Image.fromarray(frame)
        picture.save(folder / f"a{suffix}", **options)
        return folder / f"a{suffix}"

    return make


def _read_frame(path: Path) -> tuple[Tensor, tuple[int, int]]:
    return read_image(path), image_size(path)


def _is_frame(found: tuple[Tensor, tuple[int, int]]) -> bool:
    frame, size = found
    return frame.dtype == torch.uint8 and tuple(frame.shape) == (3, *size)


def _write_map(folder: Path) -> Path:
    picture = Image.fromarray(_street().label(0).numpy(), mode="P")
    picture.putpalette([value for colour in palette("camvid").colours for value in colour])
    picture.save(folder / "a.png")
    return folder / "a.png"


def _write_bmp_map(folder: Path) -> Path:
    Image.fromarray(_street().label(0).numpy()).save(folder / "a.bmp")
    return folder / "a.bmp"


def _read_map(path: Path) -> Tensor:
    return read_map(path, classes=len(CLASSES))


def _is_map(labels: Tensor) -> bool:
    return labels.dtype == torch.uint8 and labels.ndim == 2 and int(labels[labels != 255].max()) < len(CLASSES)


FOOTAGE = (
    Reader("flo", _write_flo, read_flo, _is_field),
    Reader("kitti", _write_kitti, read_kitti, lambda found: _is_field(found[0]), checked=True),
    Reader("store", _write_entry, _read_entry, _is_entry, checked=True),
    Reader("png", _write_image(".png"), _read_frame, _is_frame, checked=True),
    Reader("deep-png", _write_image(".png", deep=True), _read_frame, _is_frame, checked=True),
    Reader("jpeg", _write_image(".jpg"), _read_frame, _is_frame),
    Reader("bmp", _write_image(".bmp"), _read_frame, _is_frame),
    Reader("webp", _write_image(".webp"), _read_frame, _is_frame),
    Reader("tiff", _write_image(".tiff"), _read_frame, _is_frame),
    Reader("lzw-tiff", _write_image(".tiff", compression="tiff_lzw"), _read_frame, _is_frame),
    Reader("map", _write_map, _read_map, _is_map, checked=True),
    Reader("bmp-map", _write_bmp_map, _read_map, _is_map),
)
