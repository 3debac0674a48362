"""`export`: a student as a file for other runtimes, checked before it is there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from flow.atomic import write_whole
from temporalkd.cli.work.systems import load_system
from temporalkd.config import ConfigError, build
from temporalkd.data.image_folder import open_frames
from temporalkd.data.source import Source
from temporalkd.experiments.run_directory import load_run
from temporalkd.export import (
    EXPORTED,
    Card,
    card_of,
    float_layers,
    onnx_graph,
    open_exported,
    parity,
    pt2_program,
    quantised,
    require_export,
    write_openvino,
)
from temporalkd.models import median_seconds

CALIBRATION = 64
CHECKED = 4
RUNTIMES = {".onnx": "ONNX Runtime", ".pt2": "torch.export", ".xml": "OpenVINO"}


def export(
    checkpoint: Path,
    out: Path,
    size: tuple[int, int] | None = None,
    dynamic: bool = False,
    argmax: bool = False,
    calibrate: Path | None = None,
) -> Iterator[str]:
    """Write a run folder's or checkpoint's student in the format of the suffix; yields lines of what was found.

    Args:
        size: (H, W) of the frames; default that of the run's data.val, of a weights file the trained_size of its json.
        dynamic: frames of any size; checked at `size` and another one.
        argmax: the graph gives classes, not logits.
        calibrate: frames that an 8 bit graph takes its ranges from; brought to `size`.
    Raises:
        FileExistsError: `out` exists.
        ValueError: a package is missing, the size is unknown, torch cannot export the network, or the graph does not
            say what the network says: then there is no file.
    """
    if out.suffix not in EXPORTED:
        raise ValueError(f"{out}: expected a file that ends in {', '.join(EXPORTED)}")
    if out.suffix != ".pt2":
        require_export("onnx", "onnxscript", "onnxruntime", *(["openvino"] if out.suffix == ".xml" else []))
    elif calibrate is not None:
        raise ValueError(f"{out}: 8 bit integers are for .onnx and .xml")
    if out.exists():
        raise FileExistsError(f"{out} exists: name a new file with -o")
    segmenter, spec = load_system(checkpoint)
    source = open_frames(calibrate) if calibrate is not None else None
    size = size or (None if checkpoint.is_dir() else spec.trained_size) or _size_of_footage(checkpoint)
    card = card_of(spec, None if dynamic else size, argmax)
    frames = [_noise(size, seed) for seed in range(CHECKED)] if source is None else _frames(source, CHECKED, size)
    others = [_noise((size[0] * 3 // 4 + 1, size[1] + 7))] if dynamic else []
    with TemporaryDirectory() as folder:
        draft = Path(folder) / out.name
        model = pt2_program(segmenter, card) if out.suffix == ".pt2" else onnx_graph(segmenter, card)
        _write(model, card, draft)
        student = open_exported(draft, str(out))
        found = parity(segmenter, student, frames + others)
        if not found.holds:
            raise ValueError(f"{out} is not written: the file and the network disagree ({found})")
        yield f"{RUNTIMES[out.suffix]} and the network: {found}"
        if source is not None:
            card = card_of(spec, card.size, argmax, int8=True)
            model = quantised(model, card, _frames(source, CALIBRATION, size))
            _write(model, card, draft)
            student = open_exported(draft, str(out))
            left, layers = float_layers(model)
            found = parity(segmenter, student, frames)
            yield f"8 bit and the network: {found}; {len(left)} of {layers} layers in float"
        frame = frames[0].to(segmenter.device)
        with torch.inference_mode():
            by_torch = median_seconds(lambda: segmenter(frame).logits.argmax(1).cpu())
        by_file = median_seconds(lambda: student.run(frames[0]))
        for part in Path(folder).iterdir():
            write_whole(out.with_name(part.name), part.read_bytes())
    yield (
        f"a frame of {size[0]}x{size[1]}: {RUNTIMES[out.suffix]} {1e3 * by_file:.1f} ms (cpu), "
        f"torch {1e3 * by_torch:.1f} ms ({frame.device.type}), {torch.get_num_threads()} threads"
    )
    yield f"wrote {out}"


def _write(model: Any, card: Card, file: Path) -> None:
    """What `onnx_graph`, `quantised` or `pt2_program` made."""
    if file.suffix == ".xml":
        write_openvino(model, card, file)
    else:
        file.write_bytes(model if isinstance(model, bytes) else model.SerializeToString())


def _size_of_footage(checkpoint: Path) -> tuple[int, int]:
    """(H, W) of the frames that a run is evaluated on."""
    if not checkpoint.is_dir():
        raise ConfigError(f"{checkpoint} is a weights file and tells no frame size: add --size HxW")
    config, _, _ = load_run(checkpoint)
    if config.data.val is None:
        raise ConfigError(f"{checkpoint} has no data.val, so the frame size is unknown: add --size HxW")
    try:
        source = build.footage(config.data.val, config.data.root, config.seed, labelled=False).sources[0]
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{error}; the run's frames are missing: add --size HxW") from error
    return next(source.stream()).size


def _frames(source: Source, count: int, size: tuple[int, int]) -> list[Tensor]:
    """Frames (1, 3, H, W) in [0, 1], evenly spread over the footage."""
    indices = {round(i * (len(source) - 1) / max(count - 1, 1)) for i in range(count)}
    frames = (source.frame(index)[None].float() / 255 for index in sorted(indices))
    return [F.interpolate(frame, size, mode="bilinear", antialias=True).clamp(0, 1) for frame in frames]


def _noise(size: tuple[int, int], seed: int = 0) -> Tensor:
    """Clouds of several scales, (1, 3, H, W) in [0, 1]."""
    generator = torch.Generator().manual_seed(seed)
    coarse = (torch.rand(1, 3, -(-size[0] // scale), -(-size[1] // scale), generator=generator) for scale in (1, 8, 64))
    layers = [F.interpolate(layer, size, mode="bilinear", align_corners=False) for layer in coarse]
    return sum(layers, torch.zeros(())) / len(layers)
