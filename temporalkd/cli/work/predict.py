"""`predict`: a class map for every frame."""

from __future__ import annotations

import shutil
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

from temporalkd.cli.work.systems import load_mapper
from temporalkd.console import progress
from temporalkd.data.image_folder import FrameFolder, open_frames
from temporalkd.data.label_maps import write_map
from temporalkd.evaluation import each_class_map


def predict(system: Path, frames: Path, out: Path, precision: str = "fp32", compiled: bool = False) -> int:
    """Write a class map, NAME.png or 000000.png, for every frame; the folder appears when all are written.

    Args:
        system: run folder, .safetensors file or .onnx file.
        precision: fp32 or bf16.
    Returns:
        Number of class maps.
    """
    mapper = load_mapper(system, precision, compiled)
    source = open_frames(frames)
    stems = source.stems if isinstance(source, FrameFolder) else [f"{i:06d}" for i in range(len(source))]
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise FileExistsError(f"{out} exists: name a new folder with -o")
    count = 0
    with _folder_beside(out) as beside:
        partial = Path(beside) / "maps"
        partial.mkdir()
        done = each_class_map(mapper, source, lambda i, classes: write_map(partial / f"{stems[i]}.png", classes))
        with progress("predict") as tick, closing(done):
            for index in done:
                count = index + 1
                tick(count, len(source))
        if out.exists():  # a mount point, or a link to a folder, which must stay
            for path in partial.iterdir():
                shutil.move(path, out / path.name)
        else:
            partial.rename(out)
    return count


def _folder_beside(out: Path) -> TemporaryDirectory[str]:
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        return TemporaryDirectory(prefix=f".{out.name[:100]}.", suffix=".partial", dir=out.parent)
    except (FileExistsError, NotADirectoryError) as error:
        raise NotADirectoryError(f"{out}: cannot be made, {error.filename} is a file") from error
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(out)) from error
