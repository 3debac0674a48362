"""Scoring precomputed predictions with cached flow, against doing it pair by pair."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image

import flow
from benchmarks.result import Result, rates
from temporalkd.data.image_folder import FrameFolder, MapFolder
from temporalkd.data.label_maps import write_map
from temporalkd.data.street import CLASSES, Street
from temporalkd.evaluation import evaluate, folder_of_maps
from temporalkd.metrics import PROTOCOLS
from temporalkd.paths import find

STREET_LENGTH = 101
STREET_SIZE = (360, 480)
_BAND = np.ones((9, 9), np.uint8)

Field = NDArray[np.float32]
Classes = NDArray[np.uint8]
Mask = NDArray[np.bool_]


@dataclass
class Footage:
    """Frames, class maps as a tool would have written them, and the flow of every pair in a file."""

    frames: Path
    maps: Path
    flows: Path
    classes: int
    name: str


def consistency(repeats: int = 5) -> Iterator[Result]:
    """Frames a second of `evaluate` and of the straightforward procedure; peak memory against length."""
    few, many = (_peak_memory(length) for length in (100, 2000))
    with TemporaryDirectory() as folder:
        footage = _footage(Path(folder))
        cache, estimator = flow.FlowCache(Path(folder) / "cache"), flow.build("dis")
        source = FrameFolder(footage.frames)
        system = {"predictions": folder_of_maps(MapFolder(footage.maps))}
        footage.flows.mkdir()
        images = (frame[None].float() / 255 for frame in source.frames())
        for index, fields in enumerate(cache.video(estimator, images)):
            np.save(footage.flows / f"{index}.npy", np.stack([field[0].numpy() for field in fields]).astype(np.float16))

        def ours(protocols: Sequence[str]) -> dict[str, dict[str, float | None]]:
            flows = {"dis": estimator}
            rows = evaluate([source], system, footage.classes, flows, protocols, cache=cache, references=False)
            return {row.protocol: row.shares for row in rows}

        for protocols in (["visible"], list(PROTOCOLS)):
            agreement = _agreement(ours(protocols), {p: straightforward(footage, p) for p in protocols})
            fast, slow = rates(
                lambda p=protocols: ours(p),  # type: ignore[misc]
                lambda p=protocols: [straightforward(footage, one) for one in p],  # type: ignore[misc]
                len(source),
                repeats,
            )
            yield Result(
                what=f"{len(source)} class maps, {footage.name}, flow on disk, protocol {' + '.join(protocols)}",
                unit="frames/s",
                ours=fast,
                reference=slow,
                ratio=fast / slow,
                memory=f"peak {few} MiB with 100 frames, {many} MiB with 2000: x {many / few:.2f}",
                agreement=agreement,
            )


def _agreement(ours: dict[str, dict[str, float | None]], theirs: dict[str, dict[str, float]]) -> str:
    """The largest difference of any number, which is refused if it is more than rounding can explain."""
    worst = 0.0
    for protocol, numbers in theirs.items():
        for key, number in numbers.items():
            got = ours[protocol][key]
            assert got is not None
            worst = max(worst, abs(got - number))
    if worst > 0.01:
        raise AssertionError(f"ours and the reference differ by {worst}")
    return f"consistency, flips, coverage within {max(worst, 1e-4):.4f}"


def straightforward(footage: Footage, protocol: str) -> dict[str, float]:
    """Each pair alone: read two PNGs and the flow, check it, warp, count class by class. Percent."""
    paths, classes = sorted(footage.maps.glob("*.png")), range(footage.classes)
    intersection, union, current_pixels = np.zeros((3, footage.classes))
    per_pair, flipped, inside, counted, counted_inside, pixels = [], 0, 0, 0, 0, 0
    for index, (first, second) in enumerate(pairwise(paths)):
        current, following = (np.array(Image.open(path)) for path in (first, second))
        forward, backward = np.load(footage.flows / f"{index}.npy").astype(np.float32)
        seen = _visible(forward, backward)
        nearest = _nearest(following, forward)
        edge = np.zeros(current.shape, bool)
        for c in classes:
            mask = (current == c).astype(np.uint8)
            edge |= cv2.dilate(mask, _BAND) != cv2.erode(mask, _BAND)
        flips = seen & (current != nearest)
        flipped, inside = flipped + flips.sum(), inside + (flips & ~edge).sum()
        counted, counted_inside = counted + seen.sum(), counted_inside + (seen & ~edge).sum()
        pixels += seen.size
        warped = _WARPS.get(protocol, _nearest)(following, forward)
        mask = seen if protocol == "visible" else np.ones_like(seen)
        both = np.array([((current == c) & (warped == c) & mask).sum() for c in classes], float)
        either = np.array([(((current == c) | (warped == c)) & mask).sum() for c in classes], float)
        intersection, union = intersection + both, union + either
        current_pixels = current_pixels + np.bincount(current.ravel(), minlength=footage.classes)
        per_pair.append(np.mean(both[either > 0] / either[either > 0]))
    counts = current_pixels > 0 if protocol == "vspw2021" else union > 0
    value = np.mean(intersection[counts] / union[counts])
    if protocol == "etc2020":
        value = np.sum(intersection[union > 0] / union[union > 0]) / footage.classes
    if protocol in ("varghese2020", "kdssp2025"):
        value = np.mean(per_pair)
    return {
        "consistency": 100 * float(value),
        "flip_rate": 100 * float(flipped / counted),
        "flip_interior": 100 * float(inside / counted_inside),
        "coverage": 100 * float(counted / pixels),
    }


def _visible(forward: Field, backward: Field) -> Mask:
    back = _grid_sample(backward, forward, "bilinear", "border", True)
    gap = ((forward + back) ** 2).sum(0)
    length = (forward**2).sum(0) + (back**2).sum(0)
    height, width = forward.shape[1:]
    x, y = _target(forward)
    inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    return inside & (gap <= 0.01 * length + 0.5)


def _nearest(following: Classes, forward: Field) -> Classes:
    height, width = following.shape
    x, y = (np.floor(place + 0.5).astype(int) for place in _target(forward))
    return following[y.clip(0, height - 1), x.clip(0, width - 1)]


def _etc2020(following: Classes, forward: Field) -> Classes:
    height, width = following.shape
    x, y = _target(forward)
    left, top = np.floor(x), np.floor(y)
    a, b = x - left, y - top
    double_a, double_b = a.astype(np.float64), b.astype(np.float64)
    weights = ((1 - double_a) * (1 - double_b), double_a * (1 - double_b), (1 - double_a) * double_b)
    total = np.zeros(following.shape, np.float32)
    for (dy, dx), weight in zip(((0, 0), (0, 1), (1, 0), (1, 1)), (*weights, a * b)):
        corner = following[(top + dy).astype(int).clip(0, height - 1), (left + dx).astype(int).clip(0, width - 1)]
        product = corner.astype(np.float64) * weight
        total += product.astype(np.float32) if (dy, dx) != (1, 1) else 0
    return (total + product).astype(np.float32).astype(np.uint8)  # the last product is fused with its addition


def _vspw2021(following: Classes, forward: Field) -> Classes:
    return _grid_sample(following[None].astype(np.float32), forward, "nearest", "zeros", False)[0].astype(np.uint8)


def _target(field: Field) -> tuple[Field, Field]:
    height, width = field.shape[1:]
    return field[0] + np.arange(width, dtype=np.float32), field[1] + np.arange(height, dtype=np.float32)[:, None]


def _grid_sample(image: Field, field: Field, mode: str, padding: str, corners: bool) -> Field:
    height, width = image.shape[1:]
    x, y = _target(field)
    grid = torch.from_numpy(np.stack((2 * x / (width - 1) - 1, 2 * y / (height - 1) - 1), -1))[None]
    sampled = F.grid_sample(torch.from_numpy(image)[None], grid, mode, padding_mode=padding, align_corners=corners)
    return sampled[0].numpy()


_WARPS = {"etc2020": _etc2020, "vspw2021": _vspw2021, "kdssp2025": _vspw2021}


def _footage(place: Path) -> Footage:
    try:
        return _camvid(find("camvid", "data"), place)
    except FileNotFoundError:
        return _street(place)


def _camvid(data: Path, place: Path) -> Footage:
    """The labels of the val clip as predictions, void as class 1."""
    labels = MapFolder(data / "valannot", classes=11, void=None, mapping={11: 1})
    (place / "maps").mkdir()
    for stem in labels.stems:
        write_map(place / "maps" / f"{stem}.png", labels.read(stem))
    return Footage(data / "val", place / "maps", place / "flows", 11, "CamVid val 360x480")


def _street(place: Path) -> Footage:
    """A street's frames, and as predictions its labels with blocks that flicker."""
    street = Street(seed=0, length=STREET_LENGTH, size=STREET_SIZE)
    generator = torch.Generator().manual_seed(0)
    for folder in ("frames", "maps"):
        (place / folder).mkdir()
    for index, frame in enumerate(street.frames()):
        Image.fromarray(frame.permute(1, 2, 0).numpy()).save(place / "frames" / f"{index:04d}.png")
        label = street.label(index).clone()
        top, left = (int(torch.randint(0, size - 40, (), generator=generator)) for size in STREET_SIZE)
        label[top : top + 40, left : left + 40] = int(torch.randint(0, len(CLASSES), (), generator=generator))
        label[label == 255] = 0
        write_map(place / "maps" / f"{index:04d}.png", label)
    return Footage(place / "frames", place / "maps", place / "flows", len(CLASSES), "a synthetic street 360x480")


def _peak_memory(length: int) -> int:
    """MiB that scoring a clip of this many frames takes in a process of its own."""
    done = subprocess.run([sys.executable, "-c", _MEMORY, str(length)], capture_output=True, text=True, check=True)
    return int(done.stdout)


_MEMORY = """
import resource, sys
import flow
from temporalkd.data.street import CLASSES, Street
from temporalkd.evaluation import FramePrediction, evaluate
street = Street(seed=0, length=int(sys.argv[1]), size=(96, 160))
evaluate([street], {"labels": lambda frame: FramePrediction(frame.label)}, len(CLASSES), {"dis": flow.build("dis")})
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""
