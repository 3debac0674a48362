"""The frames around CamVid's labelled stills, from its videos; the still's own frame is found by what it shows.

The number in a still's name is not the number that a decoder gives its frame: numberings start at 0, at 1 or where an
extract does, and decoders drop or repeat frames at the start. So the offset is found for each video, and each still
is compared with the frames around the one that it names.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from temporalkd.data.camvid import SEQUENCES
from temporalkd.data.camvid_release import Tick, resized, sequence_and_number, stills_of
from temporalkd.data.images import image_size, read_image
from temporalkd.data.label_maps import save_png
from temporalkd.data.video import VideoFile

KEYS = {"0001TP": "01TP", "0006R0": "06R0", "0016E5": "16E5", "Seq05VD": "05VD"}
"""Sequence -> what the name of its video contains: 01TP_extract.avi, 0006R0.MXF, 0016E5.MXF, 0005VD.MXF."""
SUFFIXES = (".mxf", ".avi", ".mp4", ".mov", ".mkv", ".mpg", ".mpeg", ".m4v")
THUMBNAIL = (24, 32)
MAX_ERROR = 0.01
"""Largest 1 - correlation of a still and its frame. Another compression and size cost less than 0.002; CamVid's frames
that are 1/15 s apart differ by 0.008, the median, and 1/3 s apart by 0.06."""
WINDOW = 15


@dataclass
class Alignment:
    """Where the stills of one sequence are in its video.

    offset: frame of the video - number in the still's name, by majority; None where no still was found.
    frames: still -> (frame, error); only those found.
    missing: stills that match nothing well, or have no frames on both sides.
    """

    sequence: str
    video: str
    offset: int | None
    frames: dict[str, tuple[int, float]] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        total = len(self.frames) + len(self.missing)
        if self.offset is None:
            return f"{self.sequence}: none of {total} stills is in {self.video}: they keep synthetic motion"
        apart = [frame - sequence_and_number(stem)[1] for stem, (frame, _) in self.frames.items()]
        errors = [error for _, error in self.frames.values()]
        spread = f" ({min(apart):+d} to {max(apart):+d})" if len(set(apart)) > 1 else ""
        text = (
            f"{self.sequence}: {self.video} is off by {self.offset:+d} frames{spread}, {len(self.frames)} of {total} "
            f"stills found, error {np.mean(errors):.4f}, at most {max(errors):.4f}"
        )
        return text + (f"; with synthetic motion: {', '.join(self.missing)}" if self.missing else "")


def find_videos(folder: Path) -> dict[str, Path]:
    """Sequence -> its video file.

    Raises:
        FileNotFoundError, ValueError: no such folder, no video of CamVid in it, or two of one sequence; names them.
    """
    expected = "expected CamVid's videos: 01TP_extract.avi, 0006R0.MXF, 0016E5.MXF, 0005VD.MXF"
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder, {expected}")
    found: dict[str, Path] = {}
    for path in sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES):
        for sequence, key in KEYS.items():
            if key in path.stem.upper():
                if sequence in found:
                    raise ValueError(
                        f"{folder}: {found[sequence].name} and {path.name} are both of {sequence}: keep one"
                    )
                found[sequence] = path
    if not found:
        raise FileNotFoundError(f"{folder}: no video in it, {expected}")
    return found


def thumbnail(picture: Tensor) -> NDArray[np.float32]:
    """A small grey version as a vector of mean 0 and length 1, so that brightness and contrast do not count.

    Shape:
        picture: (3, H, W), uint8.
    """
    grey = picture.numpy().astype(np.float32).mean(0)
    small = cv2.resize(grey, THUMBNAIL[::-1], interpolation=cv2.INTER_AREA).ravel()
    small = small - small.mean()
    return (small / max(float(np.linalg.norm(small)), 1e-6)).astype(np.float32)


def align(
    sequence: str,
    video: str,
    stills: Mapping[str, NDArray[np.float32]],
    frames: NDArray[np.float32],
    window: int = WINDOW,
) -> Alignment:
    """Find the frame of each still.

    Args:
        stills: name -> thumbnail.
        frames: (N, D), the thumbnails of the video's frames.
        window: how far from its number and the sequence's offset a still is looked for, in frames.
    """
    errors = {stem: 1 - frames @ small for stem, small in stills.items()}
    numbers = {stem: sequence_and_number(stem)[1] for stem in stills}
    good = {stem: int(e.argmin()) for stem, e in errors.items() if e.min() <= MAX_ERROR}
    votes = Counter(frame - numbers[stem] for stem, frame in good.items())
    if not votes:
        return Alignment(sequence, video, None, missing=list(stills))
    offset = max(votes, key=lambda o: (votes[o], -abs(o)))
    found = Alignment(sequence, video, offset)
    for stem, error in errors.items():
        middle = numbers[stem] + offset
        near = np.arange(max(middle - window, 0), min(middle + window + 1, len(frames)))
        # Where the camera stands still many frames are as good: the one that the name says, then.
        frame = int(near[(error[near] + 1e-4 * abs(near - middle)).argmin()]) if len(near) else -1
        if frame >= 0 and error[frame] <= MAX_ERROR:
            found.frames[stem] = (frame, float(max(error[frame], 0)))
        else:
            found.missing.append(stem)
    return found


def add_neighbours(
    release: Path,
    root: Path,
    stems: Iterable[str],
    videos: Mapping[str, Path],
    size: tuple[int, int] | None = None,
    around: int = 3,
    tick: Tick | None = None,
) -> list[Alignment]:
    """Write `root/sequences/{still}/000.png ...`: the still with up to `around` frames of its video before and after.

    What is there already, of the same video and with the same settings, is kept.

    Args:
        stems: stills that are to have neighbours.
        videos: sequence -> video.
        size: (H, W) of the frames; None: of the stills.
    """
    stills = stills_of(release)
    return [
        _one_video(
            sequence,
            path,
            {stem: stills[stem] for stem in stems if sequence_and_number(stem)[0] == sequence},
            root / SEQUENCES,
            {"around": around, "size": list(size) if size else None, "bytes": path.stat().st_size},
            tick or (lambda done, total: None),
        )
        for sequence, path in videos.items()
    ]


def _one_video(
    sequence: str, path: Path, stills: dict[str, Path], place: Path, settings: dict, tick: Tick
) -> Alignment:
    place.mkdir(parents=True, exist_ok=True)
    record = place / f"{sequence}.json"
    found = _recorded(record, settings, set(stills))
    video = VideoFile(path)
    if found is None:
        for stem in stills:
            shutil.rmtree(place / stem, ignore_errors=True)
        smalls = {stem: thumbnail(read_image(still)) for stem, still in stills.items()}
        frames = []
        for frame in video.frames():
            frames.append(thumbnail(frame))
            tick(len(frames), 2 * len(video))
        found = align(sequence, path.name, smalls, np.stack(frames))
        for stem, (frame_index, _) in list(found.frames.items()):
            if frame_index in (0, len(video) - 1):
                del found.frames[stem]
                found.missing.append(stem)
        partial = record.with_suffix(".partial")
        partial.write_text(json.dumps({"settings": settings, "alignment": asdict(found)}, indent=1))
        partial.replace(record)
    _cut_out(video, found, stills, place, settings["around"], settings["size"], tick)
    return found


def _recorded(record: Path, settings: dict, stems: set[str]) -> Alignment | None:
    """What an earlier run found with the same settings for the same stills."""
    try:
        told = json.loads(record.read_text())
        found = Alignment(**told["alignment"])
        found.frames = {stem: (int(frame), float(error)) for stem, (frame, error) in found.frames.items()}
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if told["settings"] == settings and {*found.frames, *found.missing} == stems else None


def _cut_out(
    video: VideoFile,
    found: Alignment,
    stills: Mapping[str, Path],
    place: Path,
    around: int,
    size: Sequence[int] | None,
    tick: Tick,
) -> None:
    """Write the folders that are not there yet, in one pass through the video."""
    wanted = {stem: frame for stem, (frame, _) in found.frames.items() if not (place / stem).is_dir()}
    last = len(video) - 1
    reach = {stem: min(around, frame, last - frame) for stem, frame in wanted.items()}
    for stem in wanted:
        shutil.rmtree(place / f".{stem}.partial", ignore_errors=True)
    for index, picture in enumerate(video.frames() if wanted else ()):
        tick(len(video) + index + 1, 2 * len(video))
        for stem, frame in wanted.items():
            if abs(index - frame) > reach[stem]:
                continue
            partial = place / f".{stem}.partial"
            partial.mkdir(exist_ok=True)
            # The still itself, not its frame: the label was drawn on it.
            shown = read_image(stills[stem]) if index == frame else picture
            name = f"{index - frame + reach[stem]:03d}.png"
            save_png(partial / name, resized(shown, size or image_size(stills[stem])))
            if index == frame + reach[stem]:
                partial.replace(place / stem)
