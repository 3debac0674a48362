"""`predict`: a class map for every frame."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from temporalkd.commands.systems import load_system
from temporalkd.data.frames import ImageFolder, open_frames
from temporalkd.data.images import write_map
from temporalkd.evaluation import class_maps
from temporalkd.progress import progress


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
