"""What can be scored: a network, a folder of predictions, the labels; each answers frame by frame."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from temporalkd.data.clip import IGNORE
from temporalkd.data.disturbance import Disturbance, DisturbanceKind
from temporalkd.data.prefetch import ReadAhead
from temporalkd.data.scenes import ClassMaps
from temporalkd.data.source import Frame, Source
from temporalkd.models import Prediction, Teacher, evaluating

STRIDE = 8
"""Of the features by which frames are matched, as near as the encoder has it."""


@dataclass
class FramePrediction:
    """What a system says about a frame: class map (H, W) uint8; probabilities (C, H, W) where it has any."""

    map: Tensor
    probs: Tensor | None = None


class Features(NamedTuple):
    """Deep features of frames, by which their places are matched.

    Args:
        name: of the encoder.
        of: (1, 3, H, W) in [0, 1] -> (1, c, h, w).
    """

    name: str
    of: Callable[[Tensor], Tensor]


Predictor = Callable[[Frame], FramePrediction]
"""What a system says about a frame; the frames of a source come in order."""


def network(segmenter: Teacher) -> Predictor:
    """A network: softmax and arg-max of its logits; in eval, one frame at a time."""

    @torch.inference_mode()
    def predict(frame: Frame) -> FramePrediction:
        logits = _logits(segmenter, frame.pixels)
        return FramePrediction(logits.argmax(0).to("cpu", torch.uint8), logits.softmax(0).cpu())

    return predict


def features(encoder: nn.Module, name: str) -> Features:
    """Those of a network's layers whose stride is nearest to 8.

    Args:
        encoder: a Segmenter, whose features are those of its roles; or any module that takes (N, 3, H, W) in [0, 1] and
            gives features (N, c, h, w), or a list of them.
    """

    def of(pixels: Tensor) -> Tensor:
        held = next(chain(encoder.parameters(), encoder.buffers()), pixels)
        with evaluating(encoder):
            found = encoder(pixels.to(held.device))
        found = list(found.features.values()) if isinstance(found, Prediction) else [found]
        layers = [f for each in found for f in (each if isinstance(each, list | tuple) else [each])]
        if not layers:
            raise ValueError(f"{name}: it is not known where this network has features: give it roles")
        return min(layers, key=lambda f: abs(math.log(pixels.shape[-2] / f.shape[-2] / STRIDE)))

    return Features(name, of)


def class_maps(segmenter: Teacher, source: Source) -> Iterator[Tensor]:
    """The network's class map (H, W) uint8 of every frame, streaming."""
    for frame in source.frames():
        with torch.inference_mode():
            prediction = _logits(segmenter, frame).argmax(0).to("cpu", torch.uint8)
        yield prediction


def _logits(segmenter: Teacher, pixels: Tensor) -> Tensor:
    with evaluating(segmenter):
        return segmenter(pixels[None].to(segmenter.device).float() / 255).logits[0].float()


def averaged(system: Predictor, decay: float) -> Predictor:
    """A causal exponential moving average of a system's probabilities, the usual product answer to flicker.

    a_t = decay a_(t-1) + (1 - decay) p_t, a_0 = p_0: it lags behind what moves.

    Raises:
        ValueError: decay is not in 0..1; the system gives no probabilities.
    """
    if not 0 <= decay < 1:
        raise ValueError(f"the decay of a moving average is from 0 to below 1, got {decay}")
    average: Tensor | None = None

    def predict(frame: Frame) -> FramePrediction:
        nonlocal average
        probs = system(frame).probs
        if probs is None:
            raise ValueError("a moving average needs probabilities: a network, not a folder of class maps")
        average = probs if frame.index == 0 or average is None else decay * average + (1 - decay) * probs
        return FramePrediction(average.argmax(0).to(torch.uint8), average)

    return predict


def disturbed(system: Predictor, kind: DisturbanceKind, strength: float) -> Predictor:
    """A system that sees each frame as a camera with noise, compression and so on might have given it.

    What is drawn depends on the number of the frame alone: all systems see the same, and the strengths differ in size
    alone. A system that does not look at the frame, a folder of class maps say, says what it always says.

    Args:
        strength: see `Disturbance`.
    """
    disturb = Disturbance({kind: strength})

    def predict(frame: Frame) -> FramePrediction:
        pixels = disturb(frame.pixels[None, None].float() / 255, seed=frame.index)[0, 0]
        return system(Frame(frame.source, frame.index, (255 * pixels).round().to(torch.uint8)))

    return predict


def memoize(system: Predictor) -> Predictor:
    """A system that is asked once for each frame, whoever asks."""
    last: tuple[Frame, FramePrediction] | None = None

    def predict(frame: Frame) -> FramePrediction:
        nonlocal last
        if last is None or last[0] is not frame:
            last = frame, system(frame)
        return last[1]

    return predict


def folder_of_maps(maps: ClassMaps | Mapping[Source, ClassMaps]) -> Predictor:
    """Predictions of any tool, the maps of one source's frames, or those of each source."""
    current: tuple[ClassMaps, ReadAhead[Tensor]] | None = None

    def predict(frame: Frame) -> FramePrediction:
        nonlocal current
        of_scene = maps[frame.source] if isinstance(maps, Mapping) else maps
        if current is None or current[0] is not of_scene:
            current = of_scene, ReadAhead(of_scene.__getitem__, len(of_scene))
        return FramePrediction(of_scene.fitted(current[1](frame.index), frame.size))

    return predict


def ceiling(frame: Frame) -> FramePrediction:
    """The labels themselves: no system can be expected to be steadier. Void takes the nearest labelled class."""
    if frame.label is None:
        raise ValueError(f"{frame} has no label")
    return FramePrediction(_fill_void(frame.label))


def floor() -> Predictor:
    """The labels of the middle frame of each source repeated: what an answer that ignores the motion gets."""
    middle: tuple[Source, FramePrediction] | None = None

    def predict(frame: Frame) -> FramePrediction:
        nonlocal middle
        if middle is None or middle[0] is not frame.source:
            middle = frame.source, ceiling(Frame(frame.source, len(frame.source) // 2, size=frame.size))
        return middle[1]

    return predict


def constant(frame: Frame) -> FramePrediction:
    """Class 0 everywhere: perfectly consistent, and useless."""
    return FramePrediction(torch.zeros(frame.size, dtype=torch.uint8))


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
