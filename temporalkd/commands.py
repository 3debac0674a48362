"""What the commands do, free of the command line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor

import flow as optical_flow
from temporalkd import assemble
from temporalkd.config import Config, ConfigError
from temporalkd.data.clip import IGNORE
from temporalkd.data.frames import ImageFolder, MapFolder, open_frames
from temporalkd.data.images import write_map
from temporalkd.data.source import Source
from temporalkd.evaluation import Row, class_maps, folder_of_maps, network
from temporalkd.evaluation import evaluate as score
from temporalkd.models import ModelSpec, Segmenter, load_segmenter
from temporalkd.progress import progress
from temporalkd.render import render_flicker
from temporalkd.render.overlay import default_palette
from temporalkd.run_folder import load_run
from temporalkd.scoring import Scorer


def device() -> torch.device:
    """Where networks run: the GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def evaluate(
    run: Path, data: Config | None, protocols: Sequence[str], flow: str | None, overrides: Sequence[str] = ()
) -> list[Row]:
    """Score the student of a run folder or checkpoint on a config's data.val.

    Without one it is the run's own config, with `overrides`.
    """
    segmenter, _ = load_system(run)
    if data is None:
        if not run.is_dir():
            raise ConfigError(
                f"{run} is a checkpoint, not a run folder: name a config with --data, its data.val is used"
            )
        data, _, _ = load_run(run, overrides)
    scorer = Scorer(data, device(), flow, segmenter.classes)
    scorer.protocols = protocols
    with progress("evaluate") as tick:
        return scorer.rows({run.stem: network(segmenter)}, progress=tick)


def consistency(
    frames: Path,
    predictions: Path,
    labels: Path | None,
    classes: int | None,
    void: int,
    mapping: dict[int, int],
    protocols: Sequence[str],
    flow: str,
    weights: str | None = None,
) -> list[Row]:
    """Score a folder of class maps of any tool."""
    maps = MapFolder(predictions, classes=classes, void=None, mapping=mapping or None)
    source = open_frames(frames)
    if labels is not None:
        if not isinstance(source, ImageFolder):
            raise ValueError(f"{frames} is a video: labels need a folder of images with the same names")
        source = ImageFolder(frames, labels, classes=classes, void=void)
    _require_maps(maps, source, frames)
    if len(source) < 2:
        raise ValueError(f"{frames} has {len(source)} frame(s): consistency needs two or more")
    estimator = optical_flow.build(flow, weights).to(device())
    if classes is None:
        truths = (source.label(i) for i in source.labelled)
        classes = 1 + max(_largest(m) for m in chain(maps, truths) if m is not None)
    cache = assemble.default_cache()
    with progress("consistency") as tick:
        return score(
            [source], {predictions.name: folder_of_maps(maps)}, classes, estimator, protocols, cache, progress=tick
        )


def predict(checkpoint: Path, frames: Path, out: Path) -> int:
    """Write a class map, NAME.png or 000000.png, for every frame; the folder appears when all are written."""
    segmenter, _ = load_system(checkpoint)
    source = open_frames(frames)
    stems = source.stems if isinstance(source, ImageFolder) else [f"{i:06d}" for i in range(len(source))]
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise FileExistsError(f"{out} exists: name a new folder with -o")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise NotADirectoryError(f"{out}: cannot be made, {error.filename} is a file") from error
    count = 0
    with TemporaryDirectory(prefix=f".{out.name}.", suffix=".partial", dir=out.parent) as beside:
        partial = Path(beside) / out.name
        partial.mkdir()
        with progress("predict") as tick:
            for stem, prediction in zip(stems, class_maps(segmenter, source)):
                write_map(partial / f"{stem}.png", prediction)
                count += 1
                tick(count, len(source))
        if out.exists():
            out.rmdir()
        partial.rename(out)
    return count


def render(
    frames: Path, systems: Sequence[Path], out: Path, flow: str, fps: float | None = None, scale: int | None = None
) -> int:
    """The flicker video of up to four systems: run folders, checkpoints or folders of class maps."""
    source = open_frames(frames)
    palette: Sequence[tuple[int, int, int]] = ()
    names: Sequence[str] = ()
    networks: dict[Path, Segmenter] = {}
    for path in systems:
        if not path.exists():
            raise FileNotFoundError(f"{path}: no such run folder, .safetensors file or folder of class maps")
        if path.is_file() or (path / "config.yaml").is_file():
            networks[path], spec = load_system(path)
            palette, names = spec.palette or palette, spec.class_names or names
    maps: dict[str, Iterator[Tensor]] = {}
    for path in systems:
        name = path.parent.name if path.name == "student.safetensors" else path.stem
        name = name if name not in maps else f"{name} ({len(maps) + 1})"
        if path in networks:
            maps[name] = class_maps(networks[path], source)
        else:
            folder = MapFolder(path, classes=len(palette) or None)
            _require_maps(folder, source, frames)
            maps[name] = iter(folder)
    colours = torch.tensor(palette, dtype=torch.uint8) if len(palette) else default_palette(256)
    estimator = optical_flow.build(flow).to(device())
    with progress("render") as tick:
        return render_flicker(
            source.same_size_frames(),
            maps,
            out,
            flow=estimator,
            palette=colours,
            classes=list(names),
            fps=source.fps if fps is None else fps,
            scale=scale,
            device=device(),
            progress=lambda done: tick(done, len(source)),
        )


def _largest(labels: Tensor) -> int:
    known = labels[labels != IGNORE]
    return int(known.max()) if known.numel() else 0


def _require_maps(maps: MapFolder, source: Source, frames: Path) -> None:
    """One map a frame: by name where frames have names."""
    if isinstance(source, ImageFolder):
        maps.require(source.stems)
    elif len(maps) != len(source):
        raise ValueError(f"{maps.folder} has {len(maps)} class maps, {frames} has {len(source)} frames")


def load_system(path: Path) -> tuple[Segmenter, ModelSpec]:
    """The network of a run folder or of a .safetensors file with its json, on the device, in eval."""
    if path.is_dir():
        _, segmenter, spec = load_run(path)
    elif not path.exists():
        raise FileNotFoundError(f"{path}: no such run folder or .safetensors file")
    elif path.suffix != ".safetensors":
        raise ValueError(f"{path}: expected a run folder or a .safetensors file")
    else:
        segmenter, spec = load_segmenter(path)
    segmenter.to(device()).eval()
    return segmenter, spec
