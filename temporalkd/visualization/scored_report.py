"""From scored systems to a report page: what each saw on the footage shown, its worst moments, the film."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import torch
from torch import Tensor

from flow import FlowCache
from temporalkd import __version__
from temporalkd.data.footage import Footage
from temporalkd.data.label_maps import read_map, write_map
from temporalkd.data.scenes import scene_names
from temporalkd.data.source import Frame, Source
from temporalkd.evaluation import FramePrediction, Predictor, Row, frames_with_motion
from temporalkd.evaluation.evaluate import Flows
from temporalkd.metrics import FramePair, Series
from temporalkd.models import Cost, Teacher, cost
from temporalkd.visualization.overlay import default_palette, overlay, resize, to_picture
from temporalkd.visualization.report import Column, Moment, Report, Value, Video, mosaic
from temporalkd.visualization.report import System as Entry
from temporalkd.visualization.report.contents import Kind

MOMENTS = 8
WIDEST_MOMENT = 640
COLUMNS = (
    Column("miou", "mIoU", True, "Mean over classes of intersection over union with the labels, void left out."),
    Column("consistency", "consistency", True, "mIoU between each class map and the next one warped onto it."),
    Column("flip_rate", "flips", False, "Visible pixels whose class changes along the motion."),
    Column("flip_interior", "interior flips", False, "The same, more than 4 pixels away from class boundaries."),
    Column("gated", "stays right", True, "Of the visible pixels that are right, those that are right one frame later."),
    Column("right_twice", "right twice", True, "Visible pixels that are right now and one frame later."),
    Column("macc", "mAcc", True, "Mean over classes of the share of their pixels that are predicted right."),
    Column("boundary_iou", "boundary IoU", True, "IoU of the 4 pixels inside each class's outline."),
    Column("warp_error", "E_warp", False, "100 x the squared change of the probabilities along the motion."),
    Column(
        "vc8", "VC8", True, "VSPW: pixels that keep one prediction over 8 frames where the labels do, right or not."
    ),
    Column("vc16", "VC16", True, "The same over 16 frames."),
)
CURVES = (
    Column("consistency", "consistency", True, "Of each pair of frames alone."),
    Column("flip_interior", "interior flips", False, "Away from class boundaries: what a viewer sees as flicker."),
    Column("flip_rate", "all flips", False, "Visible pixels whose class changes along the motion."),
)


class Tape:
    """A system that keeps its class maps, and what flips in them, on disk: each frame is computed once."""

    def __init__(self, system: Predictor, folder: Path):
        self.system, self.folder = system, folder
        self.sizes: dict[int, tuple[int, int]] = {}  # of each source, by id
        folder.mkdir()

    def __call__(self, frame: Frame) -> FramePrediction:
        answer = self.system(frame)
        self.sizes[id(frame.source)] = frame.size
        write_map(self._path("map", frame.source, frame.index), answer.map)
        return answer

    def map(self, source: Source, index: int) -> Tensor:
        """(H, W) uint8, what the system said."""
        return read_map(self._path("map", source, index), void=255)

    def keep_flips(self, source: Source, index: int, pair: FramePair) -> None:
        """Compare the frame with the next one."""
        flips = (self.map(source, index) != pair.warped(self.map(source, index + 1))) & pair.counted
        write_map(self._path("flips", source, index), flips.to(torch.uint8))

    def flips(self, source: Source, index: int) -> Tensor | None:
        """(H, W) bool; None for the last frame."""
        path = self._path("flips", source, index)
        return read_map(path).bool() if path.exists() else None

    def maps(self, frames: Iterable[tuple[Source, int]]) -> Iterator[Tensor]:
        """`map` of each."""
        return (self.map(*at) for at in frames)

    def all_flips(self, frames: Iterable[tuple[Source, int]]) -> Iterator[Tensor | None]:
        """`flips` of each."""
        return (self.flips(*at) for at in frames)

    def _path(self, what: str, source: Source, index: int) -> Path:
        return self.folder / f"{what}-{id(source)}-{index}.png"


@dataclass(frozen=True)
class Shown:
    """The frames on the page's time axis: all of the sources that have the size of the first, one after the other."""

    sources: Sequence[Source]
    kept: Sequence[bool]

    @classmethod
    def of(cls, sources: Sequence[Source], sizes: Mapping[int, tuple[int, int]]) -> Shown:
        return cls(sources, [sizes[id(s)] == sizes[id(sources[0])] for s in sources])

    def frames(self) -> Iterator[tuple[Source, int]]:
        """(source, index) of each."""
        for source, kept in zip(self.sources, self.kept):
            if kept:
                yield from ((source, index) for index in range(len(source)))

    def on_axis(self, per_pair: Sequence[float | None]) -> list[float | None]:
        """Numbers of the pairs of all sources -> one for each pair of frames shown, None where a scene ends."""
        axis: list[float | None] = []
        start = 0
        for source, kept in zip(self.sources, self.kept):
            end = start + len(source) - 1
            if kept:
                axis += [*per_pair[start:end], None]
            start = end
        return axis[:-1]


def page(
    rows: Sequence[Row],
    footage: Footage,
    tapes: Mapping[str, Tape],
    flows: Flows,
    cache: FlowCache | None,
    networks: Mapping[str, Teacher],
    classes: int,
    *,
    title: str,
    caption: str,
    video: Path | None = None,
    notes: Sequence[str] = (),
    averages: Collection[str] = (),
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Report:
    """Contents of the page that compares scored systems.

    Args:
        rows: one a system, under one protocol and flow.
        tapes: of the systems that are no references, filled by scoring them on the footage.
        flows: of the rows; what flips along it is shown.
        networks: of systems that are networks, whose cost is measured.
        video: where the film is written on the way; None: a page without a film.
        averages: systems that are moving averages of others.
        progress: called with (frames done, frames in all).
    """
    sources, first = footage.sources, rows[0]
    shown = Shown.of(sources, next(iter(tapes.values())).sizes)
    height, width = next(iter(tapes.values())).sizes[id(sources[0])]
    costs = {name: cost(segmenter, (height, width)) for name, segmenter in networks.items()}
    colours = torch.tensor(footage.palette, dtype=torch.uint8) if footage.palette else default_palette(classes)
    frames = list(shown.frames())
    film = None
    if video is not None:
        film = _film(shown, tapes, flows, cache, colours, video, lambda done: progress(done, 2 * len(frames)))
    left_out = len(sources) - sum(shown.kept)
    skipped = [f"{left_out} scenes of another size are in the table, not on the time axis."] if left_out else []
    device = next((n.device.type for n in networks.values()), "cuda" if torch.cuda.is_available() else "cpu")
    return Report(
        title=title,
        caption=caption,
        facts={
            "protocol": first.protocol,
            "flow": first.fingerprint or first.flow,
            "size": first.size,
            "frames": str(first.frames),
            "coverage": "-" if first["coverage"] is None else f"{first['coverage']:.1f} %",
            "threads": f"{torch.get_num_threads()} on {device}",
            "temporalkd": __version__,
        },
        class_names=footage.class_names or [str(c) for c in range(classes)],
        class_colours=colours.tolist(),
        fps=sources[0].fps,
        frame_names=_frame_names(frames, sources),
        systems=[
            entry(r, first, shown, tapes.get(r.system), costs.get(r.system), colours, r.system in averages)
            for r in rows
        ],
        columns=COLUMNS,
        curves=CURVES,
        video=film,
        scatter=("miou", "consistency") if first["miou"] is not None else None,
        notes=[*notes, *skipped],
    )


def _frame_names(frames: Sequence[tuple[Source, int]], sources: Sequence[Source]) -> list[str]:
    """As the sources call them, with the scene's name where there are several."""
    scenes = dict(zip(sources, scene_names(sources) if len(sources) > 1 else [""]))
    names = [(scenes[source], Path(source.describe(index)).name) for source, index in frames]
    return [name if name.startswith(scene) else f"{scene}: {name}" for scene, name in names]


def _film(
    shown: Shown,
    tapes: Mapping[str, Tape],
    flows: Flows,
    cache: FlowCache | None,
    colours: Tensor,
    out: Path,
    tick: Callable[[int], None],
) -> Video:
    """What flips where, then the mosaic of all systems."""
    done = 0
    for source, kept in zip(shown.sources, shown.kept):
        for frame, motions in frames_with_motion(source, flows, cache) if kept else ():
            for motion in motions.values():  # none before the first frame
                pair = FramePair(motion.flow, motion.seen, source.label(frame.index - 1), frame.label)
                for tape in tapes.values():
                    tape.keep_flips(source, frame.index - 1, pair)
            done += 1
            tick(done)
    layout = mosaic(
        (source.frame(index) for source, index in shown.frames()),
        {name: tape.maps(shown.frames()) for name, tape in tapes.items()},
        {name: tape.all_flips(shown.frames()) for name, tape in tapes.items()},
        colours,
        out,
        shown.sources[0].fps,
        progress=lambda count: tick(done + count),
    )
    return Video(out.read_bytes(), layout.tiles)


def entry(
    row: Row, first: Row, shown: Shown, tape: Tape | None, cost: Cost | None, colours: Tensor, is_average: bool = False
) -> Entry:
    """A system's line of the table with its curves and moments; the texts of its run are added by the caller."""
    made: Kind = "ema" if is_average else "student" if cost else "prediction"
    values = {key: _value(row, key) for key in (c.key for c in COLUMNS)}
    return Entry(
        name=row.system,
        kind="reference" if tape is None else made,
        values=values,
        difference={} if row is first else _differences(row.series, first.series),
        parameters=cost.parameters if cost else None,
        gmacs=cost.gmacs if cost else None,
        fps=cost.fps if cost else None,
        iou=row.per_class["iou"],
        consistency=row.per_class["consistency"],
        scenes=row.by_scene() if tape is not None else {},
        per_pair={c.key: shown.on_axis(row.per_pair[c.key]) for c in CURVES if c.key in row.per_pair},
        moments=[] if tape is None else _moments(row, shown, tape, colours),
    )


def _value(row: Row, key: str) -> Value | None:
    number = row[key]
    if number is None:
        return None
    return Value(number, *(row.intervals.get(key) or ()))


def _differences(ours: Mapping[str, Series], theirs: Mapping[str, Series]) -> dict[str, Value]:
    """Paired, for what both have numbers of; with an interval where there is one."""
    found = {}
    for key in (c.key for c in COLUMNS if c.key in ours and c.key in theirs):
        if len(ours[key].counts) == len(theirs[key].counts):
            value, low, high = (100 * float(x) for x in ours[key].minus(theirs[key]))
            if value == value:
                found[key] = Value(value, low, high) if low == low else Value(value)
    return found


def _moments(row: Row, shown: Shown, tape: Tape, colours: Tensor) -> list[Moment]:
    """The pairs of frames with the most interior flips, as pictures."""
    numbers = shown.on_axis(row.per_pair["flip_interior"])
    worst = sorted((i for i, n in enumerate(numbers) if n), key=lambda i: -(numbers[i] or 0.0))[:MOMENTS]
    frames = list(shown.frames())

    def picture(position: int) -> bytes:
        source, index = frames[position]
        image = overlay(source.frame(index), tape.map(source, index), colours)
        scale = min(1.0, WIDEST_MOMENT / image.shape[2])
        image = resize(image, (round(image.shape[1] * scale), round(image.shape[2] * scale)), smooth=True)
        return cv2.imencode(".jpg", cv2.cvtColor(to_picture(image), cv2.COLOR_RGB2BGR))[1].tobytes()

    return [Moment(i, numbers[i] or 0.0, picture(i), picture(i + 1)) for i in worst]
