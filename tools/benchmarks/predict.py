"""Class maps of footage, against a loop that reads, computes and writes in turn; then what each faster form gives."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from PIL import Image
from torch import Tensor

from benchmarks.result import Result, rates
from benchmarks.step import STUDENT
from temporalkd.data.camvid import CamVid
from temporalkd.data.image_folder import FrameFolder, open_frames
from temporalkd.data.label_maps import read_map, write_map
from temporalkd.data.source import Source
from temporalkd.data.street import CLASSES, Street
from temporalkd.evaluation import ClassMapper, each_class_map, frames_at_once
from temporalkd.export import OnnxStudent, card_of, onnx_graph, quantised
from temporalkd.metrics import SegmentationScore
from temporalkd.models import Classifier, ModelSpec, Normalisation, Segmenter, build, load_segmenter
from temporalkd.paths import find
from temporalkd.visualization import VideoWriter

STREET_LENGTH = 40
STREET_SIZE = (360, 480)
TIMED = 40
CALIBRATION = 32


@dataclass
class Scene:
    """Labelled frames, a trained network (or, for want of its weights, one that takes as long), frames of its training
    footage."""

    source: Source
    network: Segmenter
    spec: ModelSpec
    known: Source
    name: str


def predict(repeats: int = 5) -> Iterator[Result]:
    """Frames a second; of the faster forms also the share of equal pixels and what they do to the mIoU."""
    with TemporaryDirectory() as folder:
        yield from _overlapped(Path(folder), repeats)
        yield from _forms(Path(folder), repeats)


def _overlapped(place: Path, repeats: int) -> Iterator[Result]:
    """`predict` and the plain loop, of the CamVid student, each in a process of its own."""
    source = _scene().source
    height, width = source.frame(0).shape[1:]
    video, images = place / "frames.mp4", place / "frames"
    _few(source, images)
    with VideoWriter(video, fps=15) as writer:
        for index in range(min(len(source), TIMED)):
            writer.write(source.frame(index))
    threads = torch.get_num_threads()
    with _process() as fast, _process() as slow:
        for footage in (video, images):

            def ours(footage: Path = footage) -> Path:
                return fast.submit(overlapped, footage, place / "ours", threads).result()

            def loop(footage: Path = footage) -> Path:
                return slow.submit(in_turn, footage, place / "loop", threads).result()

            agreement = _same_maps(ours(), loop())
            rate, reference = rates(ours, loop, min(len(source), TIMED), repeats)
            kind = "a video" if footage is video else "PNG files"
            yield Result(
                f"predict on {kind} of {height}x{width}; against read, compute, write in turn",
                "frames/s",
                rate,
                reference,
                rate / reference,
                agreement=agreement,
            )


def _process() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(1, get_context("spawn"))


def overlapped(footage: Path, out: Path, threads: int) -> Path:
    """As the command does it."""
    torch.set_num_threads(threads)
    return _written(Classifier(_student()), open_frames(footage), out)


@torch.inference_mode()
def in_turn(footage: Path, out: Path, threads: int) -> Path:
    """Frame by frame: read, compute, write."""
    torch.set_num_threads(threads)
    student = _student()
    out.mkdir(exist_ok=True)
    for index, frame in enumerate(open_frames(footage).frames()):
        classes = student(frame[None].float() / 255).logits[0].argmax(0).to(torch.uint8)
        Image.fromarray(classes.numpy()).save(out / f"{index:06d}.png")
    return out


def _forms(place: Path, repeats: int) -> Iterator[Result]:
    """Each form of a trained network against fp32 in channels_last, both as `predict` runs them."""
    scene = _scene()
    images = _few(scene.source, place / "few")
    plain = Classifier(scene.network)
    expected, miou = _scored(plain, scene)
    for name, make in _made_as(scene).items():
        form = make()
        maps, its_miou = _scored(form, scene)
        same = torch.stack([(a == b).double().mean() for a, b in zip(maps, expected)]).mean()
        ours, theirs = rates(
            lambda form=form: _written(form, images, place / "form"),  # type: ignore[misc]
            lambda: _written(plain, images, place / "plain"),
            len(images),
            repeats,
        )
        yield Result(
            f"{name}, {scene.name}; against fp32 in channels_last",
            "frames/s",
            ours,
            theirs,
            ours / theirs,
            agreement=f"{100 * same:.3f} % of the pixels, mIoU {its_miou - miou:+.3f} of {miou:.2f}",
        )


def _made_as(scene: Scene) -> dict[str, Callable[[], ClassMapper]]:
    size = next(scene.source.stream()).size
    graph = onnx_graph(scene.network, card_of(scene.spec, size, argmax=True))
    threads = max(1, torch.get_num_threads() // frames_at_once(OnnxStudent.device))

    def int8() -> ClassMapper:
        step = max(1, len(scene.known) // CALIBRATION)
        frames = [scene.known.frame(i)[None].float() / 255 for i in range(0, len(scene.known), step)]
        card = card_of(scene.spec, size, argmax=True, int8=True)
        return OnnxStudent(quantised(graph, card, frames).SerializeToString(), threads=threads)

    return {
        "fp32, contiguous": lambda: Contiguous(scene.network),
        "bf16": lambda: Classifier(scene.network, bf16=True),
        "compiled": lambda: Classifier(scene.network, compiled=True),
        "ONNX Runtime": lambda: OnnxStudent(graph.SerializeToString(), threads=threads),
        "ONNX Runtime, int8": int8,
    }


class Contiguous(Classifier):
    """Not in channels_last."""

    def __init__(self, segmenter: Segmenter):
        super().__init__(segmenter)
        network = copy.deepcopy(self._plain).to(memory_format=torch.contiguous_format)
        self._network = lambda x: network(x.contiguous())


def _written(mapper: ClassMapper, source: Source, out: Path) -> Path:
    out.mkdir(exist_ok=True)
    for _ in each_class_map(mapper, source, lambda i, classes: write_map(out / f"{i:06d}.png", classes)):
        pass
    return out


def _same_maps(ours: Path, theirs: Path) -> str:
    names = sorted(path.name for path in theirs.iterdir())
    if names != sorted(path.name for path in ours.iterdir()):
        raise AssertionError("the two wrote other files")
    shares = [float((read_map(ours / name) == read_map(theirs / name)).double().mean()) for name in names]
    if min(shares) < 0.999:
        raise AssertionError(f"the two differ in {names[shares.index(min(shares))]}")
    return f"{len(names)} class maps, {100 * sum(shares) / len(shares):.3f} % of the pixels equal to the loop's"


def _scored(mapper: ClassMapper, scene: Scene) -> tuple[list[Tensor], float]:
    """Class maps of every frame, and the mIoU in percent."""
    score, maps = SegmentationScore(scene.network.classes, synced=False), []

    def keep(index: int, classes: Tensor) -> None:
        label = scene.source.label(index)
        assert label is not None
        maps.append(classes)
        score.update(classes, label)

    for _ in each_class_map(mapper, scene.source, keep):
        pass
    return maps, 100 * float(score.compute()["miou"])


def _few(source: Source, place: Path) -> FrameFolder:
    place.mkdir()
    for index in range(min(len(source), TIMED)):
        Image.fromarray(source.frame(index).permute(1, 2, 0).numpy()).save(place / f"{index:04d}.png")
    return FrameFolder(place)


@cache
def _student() -> Segmenter:
    """The CamVid student's architecture: how long it takes does not depend on its weights."""
    torch.manual_seed(0)
    normalisation = Normalisation((127.0,) * 3, (128.0,) * 3)
    return build(ModelSpec("segmentation_models_pytorch.FPN", 11, STUDENT, normalisation)).eval()


def _scene() -> Scene:
    """CamVid val and the trained network of the same family; a street and the untrained student without them."""
    try:
        root, weights = find("camvid", "data"), find("camvid_fpn_lite2.safetensors", "weights")
    except FileNotFoundError:
        spec = ModelSpec("segmentation_models_pytorch.FPN", len(CLASSES), STUDENT)
        torch.manual_seed(0)
        streets = [Street(seed, STREET_LENGTH, STREET_SIZE) for seed in (0, 1)]
        return Scene(streets[0], build(spec).eval(), spec, streets[1], "an untrained network, a synthetic street")
    network, spec = load_segmenter(weights)
    (val,) = CamVid(root=str(root), split="val").open().sources
    return Scene(val, network.eval(), spec, FrameFolder(root / "train"), "FPN on lite2, CamVid val")
