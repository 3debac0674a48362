"""Frames -> systems -> metrics, streaming: two frames are held at a time, however long the video."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from flow import FlowCache, FlowEstimator
from flow import visible as forward_backward_check
from temporalkd.data.clip import IGNORE, Motion
from temporalkd.data.frames import MapFolder
from temporalkd.data.source import Source
from temporalkd.metrics import Consistency, SegmentationScore
from temporalkd.models import Segmenter

System = Callable[[Source, int, Tensor], Tensor]
"""(source, index, frame (3, H, W) uint8) -> class map (H, W): a network, a folder of predictions, the labels."""


@dataclass
class Row:
    """One system under one protocol; shares in percent, None where not defined."""

    system: str
    protocol: str
    flow: str
    fingerprint: str
    size: str
    frames: int
    consistency: float | None
    flip_rate: float | None
    coverage: float | None
    miou: float | None
    macc: float | None
    iou: list[float | None]
    consistency_per_class: list[float | None]

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for json."""
        return asdict(self)


def network(segmenter: Segmenter) -> System:
    """A network as a system: arg-max of its logits; in eval, one frame at a time."""

    @torch.inference_mode()
    def predict(source: Source, index: int, frame: Tensor) -> Tensor:
        device = segmenter.mean.device
        training = segmenter.training
        segmenter.eval()
        logits = segmenter(frame[None].to(device).float() / 255).logits
        segmenter.train(training)
        return logits[0].argmax(0).to("cpu", torch.uint8)

    return predict


def class_maps(segmenter: Segmenter, source: Source) -> Iterator[Tensor]:
    """The network's class map (H, W) of every frame, streaming."""
    predict = network(segmenter)
    return (predict(source, index, frame) for index, frame in enumerate(source.frames()))


def folder_of_maps(maps: MapFolder) -> System:
    """Predictions of any tool."""
    return lambda source, index, frame: maps[index]


def ceiling(source: Source, index: int, frame: Tensor) -> Tensor:
    """The labels themselves: no system can be expected to be steadier. Void takes the nearest labelled class."""
    label = source.label(index)
    if label is None:
        raise ValueError(f"{source.name}: frame {index} has no label")
    return _fill_void(label)


def floor(source: Source, index: int, frame: Tensor) -> Tensor:
    """The middle frame's labels repeated: what an answer that ignores the motion gets."""
    return ceiling(source, len(source) // 2, frame)


def evaluate(
    sources: Sequence[Source],
    systems: Mapping[str, System],
    classes: int,
    flow: FlowEstimator | None,
    protocols: Sequence[str] = ("visible",),
    cache: FlowCache | None = None,
    references: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> list[Row]:
    """Score systems on the same frames, labels and flow, in this process alone.

    Args:
        flow: estimator; None: the sources' exact motion.
        cache: where flow is kept between evaluations.
        references: add the ceiling and the floor where every frame is labelled.
        progress: called with (frames done, frames in all).
    Raises:
        ValueError: no exact motion and no estimator; a prediction of another size than its frame.
    """
    systems = dict(systems)
    if references and all(len(s.labelled) == len(s) for s in sources):
        systems |= {"ceiling": ceiling, "floor": floor}
    accuracy = {name: SegmentationScore(classes, synced=False) for name in systems}
    steadiness = {(name, p): Consistency(classes, p, synced=False) for name in systems for p in protocols}
    total, done, labelled, size = sum(len(s) for s in sources), 0, False, ""
    for source in sources:
        previous: tuple[dict[str, Tensor], Tensor | None] | None = None
        for index, (frame, motion) in enumerate(_frames_with_motion(source, flow, cache)):
            label = source.label(index)
            maps = {
                name: _checked(s(source, index, frame), frame, f"{name}, {source.describe(index)}")
                for name, s in systems.items()
            }
            if label is not None:
                labelled = True
                for name in systems:
                    accuracy[name].update(maps[name], label)
            if previous is not None and motion is not None:
                before, label_before = previous
                both = label is not None and label_before is not None
                for (name, _), metric in steadiness.items():
                    metric.update(
                        before[name][None],
                        maps[name][None],
                        motion.flow,
                        motion.visible,
                        label_before[None] if both and label_before is not None else None,
                        label[None] if both and label is not None else None,
                    )
            previous, done = (maps, label), done + 1
            size = f"{frame.shape[1]}x{frame.shape[2]}"
            if progress:
                progress(done, total)
    rows = []
    for (name, protocol), metric in steadiness.items():
        score = accuracy[name].compute() if labelled else {}
        steady = metric.compute()
        rows.append(
            Row(
                system=name,
                protocol=protocol,
                flow="exact" if flow is None else flow.name,
                fingerprint="" if flow is None else flow.fingerprint,
                size=size,
                frames=total,
                consistency=_percent(steady["consistency"]),
                flip_rate=None if name == "floor" else _percent(steady["flip_rate"]),
                coverage=_percent(steady["coverage"]),
                miou=_percent(score.get("miou")),
                macc=_percent(score.get("macc")),
                iou=[_percent(v) for v in score.get("iou", ())],
                consistency_per_class=[_percent(v) for v in steady["per_class"]],
            )
        )
    return rows


def _frames_with_motion(
    source: Source, flow: FlowEstimator | None, cache: FlowCache | None
) -> Iterator[tuple[Tensor, Motion | None]]:
    """Each frame with the motion from the frame before it to it; None for the first."""
    if flow is None:
        for index, frame in enumerate(source.same_size_frames()):
            motion = source.motion(index - 1, index) if index else None
            if index and motion is None:
                raise ValueError(f"{source.name} knows no exact motion: name a flow estimator")
            yield frame, None if motion is None else Motion(*(x[None] for x in motion))
        return
    waiting: deque[Tensor] = deque()

    def images() -> Iterator[Tensor]:
        for frame in source.same_size_frames():
            waiting.append(frame)
            yield frame[None].float() / 255

    motions = cache.video(flow, images()) if cache is not None else flow.video(images())
    for number, fields in enumerate(motions):
        if number == 0:
            yield waiting.popleft(), None
        forward, backward = (x.float().cpu() for x in fields)
        yield waiting.popleft(), Motion(forward, backward, forward_backward_check(forward, backward))
    if waiting:  # a single frame
        yield waiting.popleft(), None


def _checked(prediction: Tensor, frame: Tensor, where: str) -> Tensor:
    if prediction.shape != frame.shape[1:]:
        (height, width), (rows, columns) = prediction.shape, frame.shape[1:]
        raise ValueError(f"{where}: the prediction is {width}x{height}, expected {columns}x{rows} like its frame")
    return prediction


def _fill_void(label: Tensor) -> Tensor:
    void = label.numpy() == IGNORE
    if not void.any() or void.all():
        return label
    _, nearest = cv2.distanceTransformWithLabels(
        void.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    class_of = np.zeros(int(nearest.max()) + 1, dtype=np.uint8)
    class_of[nearest[~void]] = label.numpy()[~void]
    return torch.from_numpy(class_of[nearest])


def _percent(share: Tensor | None) -> float | None:
    return None if share is None or bool(share.isnan()) else round(100 * float(share), 4)
