"""Reading clips for training: random access to video, the loader, and whether a training waits for it."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from benchmarks.result import Result, rates
from temporalkd.config import load
from temporalkd.data.clip import Clip, collate
from temporalkd.data.other_decoders import LibraryReader
from temporalkd.data.sampler import ClipSampler
from temporalkd.data.street import Street
from temporalkd.data.video import PyAVReader, VideoFile
from temporalkd.experiments import run
from temporalkd.paths import find
from temporalkd.visualization import VideoWriter

CONFIGS = Path(__file__).parents[2] / "configs"
CLIPS = 30
EPOCHS = 20
EPOCH = 60
STEPS = 12
BATCH = 4

Pair = tuple[int, int]


def data(repeats: int = 3) -> Iterator[Result]:
    """Clips a second beside OpenCV and decord; the loader with workers and without; waiting; memory over epochs."""
    with TemporaryDirectory() as folder:
        videos = {"a synthetic street": street_video(Path(folder) / "street.mp4")}
        driving = _found("video/solid_white_right.mp4")
        if driving is not None:
            videos = {"the driving video": driving, **videos}
        for name, path in videos.items():
            yield from random_clips(name, path, repeats)
        name, path = next(iter(videos.items()))
        yield loader(name, path)
        yield _memory(name, path)
        yield _waiting(Path(folder))


def street_video(path: Path, length: int = 300, size: tuple[int, int] = (360, 480)) -> Path:
    """A synthetic street as H.264."""
    with VideoWriter(path) as writer:
        for frame in Street(seed=0, length=length, size=size).frames():
            writer.write(frame)
    return path


def random_clips(name: str, path: Path, repeats: int) -> Iterator[Result]:
    """Two frames at most three apart, read at random."""
    video, draw = VideoFile(path), random.Random(0)
    anchors = [draw.randrange(3, len(video) - 3) for _ in range(CLIPS)]
    clips = [(anchor, anchor + draw.choice((-3, -2, -1, 1, 2, 3))) for anchor in anchors]
    for what, read in _others(path):
        agreement = _agreement(clips, video.clip, read)
        # Decoders are opened before they are timed; `VideoFile` has one open at a time, of one video.
        ours = PyAVReader(path, video.index)
        fast, slow = rates(
            lambda ours=ours: [_read(ours, clip) for clip in clips],  # type: ignore[misc]
            lambda read=read: [read(clip) for clip in clips],  # type: ignore[misc]
            len(clips),
            repeats,
        )
        ours.close()
        yield Result(
            what=f"random clips of 2 frames from {name}, {_size(video)}, reference: {what}",
            unit="clips/s",
            ours=fast,
            reference=slow,
            ratio=fast / slow,
            agreement=agreement,
        )
    video.close()


def _others(path: Path) -> Iterator[tuple[str, Callable[[Pair], Tensor]]]:
    """Other ways to read a clip, each with its name."""
    one = [cv2.CAP_PROP_N_THREADS, 1]
    for what, options in (("OpenCV, one thread", one), ("OpenCV, threads of its own", [])):
        capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG, options)
        yield what, partial(opencv, capture)
        capture.release()
    if find_spec("decord") is not None:
        other = LibraryReader("decord", path, VideoFile(path).index)
        yield "decord, one thread", partial(_read, other)
        other.close()


def _read(reader: PyAVReader | LibraryReader, clip: Pair) -> Tensor:
    """(2, 3, H, W) uint8 RGB."""
    frames = dict(zip(sorted(clip), reader.read(sorted(clip))))
    return torch.from_numpy(np.stack([frames[index] for index in clip]))


def opencv(capture: cv2.VideoCapture, clip: Pair) -> Tensor:
    """(2, 3, H, W) uint8 RGB: one seek, then frame by frame."""
    first, last = sorted(clip)
    capture.set(cv2.CAP_PROP_POS_FRAMES, first)
    frames = {}
    for index in range(first, last + 1):
        capture.grab()
        if index in clip:
            frames[index] = torch.from_numpy(cv2.cvtColor(capture.retrieve()[1], cv2.COLOR_BGR2RGB))
    return torch.stack([frames[index] for index in clip]).permute(0, 3, 1, 2).contiguous()


def _agreement(clips: Sequence[Pair], ours: Callable[[Pair], Tensor], reference: Callable[[Pair], Tensor]) -> str:
    """The largest mean difference of a clip, refused if it is more than another rounding can explain."""
    gaps = [(ours(clip).float() - reference(clip).float()).abs().mean().item() for clip in clips]
    if max(gaps) > 1:
        raise AssertionError(f"frames differ by {max(gaps):.2f} of 255 on average: not the same ones")
    return f"frames within {max(gaps):.2f} of 255 on average"


def loader(name: str, path: Path) -> Result:
    """With two workers and with none."""
    clips = ClipSampler([], 2, unlabelled=[VideoFile(path)], motion=False)
    loaders = {workers: _load(clips, range(2 * CLIPS), workers) for workers in (2, 0)}
    fast, slow = rates(lambda: list(loaders[2]), lambda: list(loaders[0]), 2 * CLIPS, 3)
    for with_workers, without in zip(loaders[2], loaders[0]):
        if not torch.equal(with_workers, without):
            raise AssertionError("clips depend on the number of workers")
    return Result(
        what=f"clips of 2 frames from {name}, the loader with 2 workers, started for it (reference: with none)",
        unit="clips/s",
        ours=fast,
        reference=slow,
        ratio=fast / slow,
        agreement="equal clips",
    )


def _memory(name: str, path: Path) -> Result:
    """Of the workers after their second round of clips and after their last."""
    clips = ClipSampler([], 2, unlabelled=[VideoFile(path)], motion=False)
    batches = iter(_load(clips, range(EPOCHS * EPOCH), 2))
    held = []
    for number, _ in enumerate(batches, start=1):
        if number in (2 * EPOCH // BATCH, EPOCHS * EPOCH // BATCH):
            held.append(max(_resident(worker.pid) for worker in batches._workers))  # type: ignore[attr-defined]
    return Result(
        what=f"memory of a worker after {EPOCHS} x {EPOCH} clips from {name} (reference: after 2 x {EPOCH})",
        unit="MiB",
        ours=held[1],
        reference=held[0],
        ratio=held[1] / held[0],
    )


def _load(clips: ClipSampler, positions: range, workers: int) -> DataLoader[Clip]:
    return DataLoader(
        clips,
        batch_size=BATCH,
        sampler=positions,
        collate_fn=_frames,
        num_workers=workers,
    )


def _frames(clips: list[Clip]) -> Tensor:
    return collate(clips).frames


def _resident(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 2**10 for line in lines if line.startswith("VmRSS:"))


def _waiting(folder: Path) -> Result:
    """Share of a step that a training on this machine's processor waits for clips."""
    config = "camvid/kd.yaml" if _found("camvid") else "street/kd.yaml"
    shares = {}
    for workers in (2, 0):
        settings = [f"training.steps={STEPS}", f"training.workers={workers}", "training.log_every=1"]
        out = folder / f"run{workers}"
        run.train(
            load(CONFIGS / config, [*settings, "training.accelerator=cpu"]), out, say=lambda line: None, score=False
        )
        rows = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()][1:]
        shares[workers] = 100 * sum(row["waited"] for row in rows) / sum(row["seconds"] for row in rows)
    return Result(
        what=f"waiting for clips, steps 2 to {STEPS} of configs/{config}, 2 workers (reference: none)",
        unit="% of the step",
        ours=shares[2],
        reference=shares[0],
        ratio=shares[2] / shares[0],
    )


def _found(path: str) -> Path | None:
    try:
        return find(path, "data")
    except FileNotFoundError:
        return None


def _size(video: VideoFile) -> str:
    _, height, width = video.frame(0).shape
    return f"{height}x{width}"
