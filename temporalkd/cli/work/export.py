"""`export`: a student as an ONNX file, checked before it is there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from flow.files import write_whole
from temporalkd.cli.work.systems import load_system
from temporalkd.config import ConfigError, build
from temporalkd.data.image_folder import open_frames
from temporalkd.data.source import Source
from temporalkd.experiments.run_directory import load_run
from temporalkd.export import OnnxStudent, card_of, onnx_graph, parity, quantised, require_export
from temporalkd.models import median_seconds

CALIBRATION = 32
CHECKED = 4


def export(
    checkpoint: Path,
    out: Path,
    size: tuple[int, int] | None = None,
    dynamic: bool = False,
    argmax: bool = False,
    calibrate: Path | None = None,
) -> Iterator[str]:
    """Write the ONNX file of a run folder's or checkpoint's student; yields lines of what was found on the way.

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
    require_export("onnx", "onnxscript", "onnxruntime")
    if out.suffix != ".onnx":
        raise ValueError(f"{out}: expected a file that ends in .onnx")
    if out.exists():
        raise FileExistsError(f"{out} exists: name a new file with -o")
    segmenter, spec = load_system(checkpoint)
    source = open_frames(calibrate) if calibrate is not None else None
    size = size or (None if checkpoint.is_dir() else spec.trained_size) or _size_of_footage(checkpoint)
    card = card_of(spec, None if dynamic else size, argmax)
    model = onnx_graph(segmenter, card)
    student = OnnxStudent(model.SerializeToString(), str(out))
    frames = [_noise(size, seed) for seed in range(CHECKED)] if source is None else _frames(source, CHECKED, size)
    others = [_noise((size[0] * 3 // 4 + 1, size[1] + 7))] if dynamic else []
    found = parity(segmenter, student, frames + others)
    if not found.holds:
        raise ValueError(f"{out} is not written: the ONNX graph and the network disagree ({found})")
    yield f"ONNX Runtime and the network: {found}"
    if source is not None:
        model = quantised(model, card_of(spec, card.size, argmax, int8=True), _frames(source, CALIBRATION, size))
        student = OnnxStudent(model.SerializeToString(), str(out))
        yield f"8 bit and the network: {parity(segmenter, student, frames)}"
    frame = frames[0].to(segmenter.mean.device)
    with torch.inference_mode():
        by_torch = median_seconds(lambda: segmenter(frame).logits.argmax(1).cpu())
    by_onnx = median_seconds(lambda: student.run(frames[0]))
    write_whole(out, model.SerializeToString())
    yield (
        f"a frame of {size[0]}x{size[1]}: ONNX Runtime {1e3 * by_onnx:.1f} ms (cpu), "
        f"torch {1e3 * by_torch:.1f} ms ({frame.device.type}), {torch.get_num_threads()} threads"
    )
    yield f"wrote {out}"


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
