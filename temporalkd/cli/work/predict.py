"""`predict`: a class map for every frame."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

from torch import Tensor

from temporalkd.cli.work.systems import load_mapper, scenes_of
from temporalkd.console import progress
from temporalkd.data.image_folder import FrameFolder
from temporalkd.data.label_maps import write_map
from temporalkd.data.scenes import scene_names
from temporalkd.data.source import Source
from temporalkd.evaluation import each_class_map


def predict(system: Path, frames: Sequence[Path], out: Path, precision: str = "fp32", compiled: bool = False) -> int:
    """Write a class map, NAME.png or 000000.png, for every frame; the folder appears when all are written.

    Args:
        system: run folder, .safetensors file or exported file.
        frames: videos, folders of images, folders of several of either; of several scenes, each has a folder in `out`.
        precision: fp32 or bf16.
    Returns:
        Number of class maps.
    """
    mapper = load_mapper(system, precision, compiled)
    sources = scenes_of(frames)
    names = scene_names(sources) if len(sources) > 1 else ["."]
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise FileExistsError(f"{out} exists: name a new folder with -o")
    count, total = 0, sum(map(len, sources))
    with _folder_beside(out) as beside:
        partial = Path(beside) / "maps"
        with progress("predict") as tick:
            for name, source in zip(names, sources):
                (partial / name).mkdir(parents=True)
                with closing(each_class_map(mapper, source, _writer(source, partial / name))) as done:
                    for _ in done:
                        count += 1
                        tick(count, total)
        if out.exists():  # a mount point, or a link to a folder, which must stay
            for path in partial.iterdir():
                shutil.move(path, out / path.name)
        else:
            partial.rename(out)
    return count


def _writer(source: Source, folder: Path) -> Callable[[int, Tensor], None]:
    stems = source.stems if isinstance(source, FrameFolder) else [f"{i:06d}" for i in range(len(source))]
    return lambda index, classes: write_map(folder / f"{stems[index]}.png", classes)


def _folder_beside(out: Path) -> TemporaryDirectory[str]:
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        return TemporaryDirectory(prefix=f".{out.name[:100]}.", suffix=".partial", dir=out.parent)
    except (FileExistsError, NotADirectoryError) as error:
        raise NotADirectoryError(f"{out}: cannot be made, {error.filename} is a file") from error
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(out)) from error
