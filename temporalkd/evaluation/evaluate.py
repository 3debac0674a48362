"""Frames -> systems -> metrics, streaming: two frames are held at a time, however long the video."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from flow import FlowCache, FlowEstimator, visible
from temporalkd.data.disturbance import DisturbanceKind
from temporalkd.data.scenes import scene_names
from temporalkd.data.source import Frame, Source
from temporalkd.evaluation.distributed import outcomes, part
from temporalkd.evaluation.metric_suite import Counts, MetricSuite
from temporalkd.evaluation.predictors import (
    Features,
    FramePrediction,
    Predictor,
    averaged,
    ceiling,
    constant,
    disturbed,
    floor,
    memoize,
)
from temporalkd.evaluation.results import Row
from temporalkd.metrics import FramePair

Flows = Mapping[str, FlowEstimator | None]
"""Name -> estimator; None: the sources' exact motion."""
REFERENCES = ("ceiling", "floor", "constant")
STRENGTHS = (0.5, 1.0, 2.0)
"""Of each disturbance that systems are scored under, see `Disturbance`."""


def evaluate(
    sources: Sequence[Source],
    systems: Mapping[str, Predictor],
    classes: int,
    flows: Flows,
    protocols: Sequence[str] = ("visible",),
    cache: FlowCache | None = None,
    references: bool = True,
    ema: float | None = None,
    progress: Callable[[int, int], None] | None = None,
    together: bool = False,
    disturb: Mapping[str, Sequence[DisturbanceKind]] | None = None,
    features: Features | None = None,
    skip: int = 1,
) -> list[Row]:
    """Score systems on the same frames, labels and flow.

    Args:
        flows: the estimators whose motion is followed, one row each.
        cache: where flow is kept between evaluations.
        references: add the ceiling, the floor and the constant map where every frame is labelled.
        ema: add each system's causal moving average with this decay.
        progress: called with (frames done, frames in all), of this process.
        together: all processes of the run call this, with the same arguments: each scores some of the sources, and
            every one returns the rows that one alone would.
        disturb: name of a system -> kinds of disturbance: more rows, of the system on disturbed frames, one a kind and
            strength (STRENGTHS). Labels, flow and features are those of the frames as they are.
        features: match the frames by these, for the perceptual consistency.
        skip: compare frames t and t + skip.
    Raises:
        ValueError: skip below 1; no exact motion and no estimator; a prediction of another size than its frame.
    """
    if skip < 1:
        raise ValueError(f"skip: {skip}, expected a whole number from 1 up")
    asked = {name: memoize(system) for name, system in systems.items()}
    if ema is not None:
        asked |= {f"{name} EMA {ema:g}": averaged(system, ema) for name, system in list(asked.items())}
    labelled = all(len(s.labelled) == len(s) for s in sources)
    if references and labelled:
        if taken := asked.keys() & REFERENCES:
            raise ValueError(f"a system is called {sorted(taken)[0]!r} like a reference: give it another name")
        asked |= dict(zip(REFERENCES, (ceiling, floor(), constant)))
    variants = {
        f"{name}, {kind} {strength:g}": (name, kind, strength)
        for name, kinds in (disturb or {}).items()
        for kind in kinds
        for strength in STRENGTHS
    }
    asked |= {variant: disturbed(systems[name], kind, much) for variant, (name, kind, much) in variants.items()}
    suites = {name: MetricSuite(classes, protocols, list(flows), labelled) for name in asked}

    def score() -> tuple[int, str, dict[str, Counts]]:
        clip, size = _score(list(part(sources, together)), asked, suites, flows, cache, progress, features, skip)
        return clip, size, {name: suite.counts() for name, suite in suites.items()}

    parts = outcomes(score, together)
    if len(parts) > 1:
        for name, suite in suites.items():
            suite.join([counts[name] for _, _, counts in parts])
    _, size, _ = max(parts, key=lambda outcome: outcome[0])
    total = sum(len(source) for source in sources)
    fingerprints = {name: "" if flow is None else flow.fingerprint for name, flow in flows.items()}
    scenes = scene_names(sources) if len(sources) > 1 else []
    rows = [
        suite.row(name, flow, fingerprints[flow], protocol, size, total, scenes)
        for flow in flows
        for protocol in protocols
        for name, suite in suites.items()
    ]
    for row in rows:
        if row.system == "floor" and "floor" not in systems:
            row.forget("flip_rate", "flip_interior", "flip_boundary")  # a frozen map flips less than the truth can
        row.features, row.skip = features.name if features else "", skip
        if row.system in variants:
            row.system, row.disturbance, row.strength = variants[row.system]
    return rows


def _score(
    sources: Sequence[tuple[int, Source]],
    systems: Mapping[str, Predictor],
    suites: Mapping[str, MetricSuite],
    flows: Flows,
    cache: FlowCache | None,
    progress: Callable[[int, int], None] | None,
    features: Features | None,
    skip: int,
) -> tuple[int, str]:
    """Fill the suites with what the systems say about numbered clips; the last clip's number and size."""
    total, done, last, size = sum(len(source) for _, source in sources), 0, -1, ""
    for clip, source in sources:
        before = deque[tuple[dict[str, FramePrediction], Tensor | None, Tensor | None]](maxlen=skip)
        for frame, motions in frames_with_motion(source, flows, cache, skip):
            answers = {name: _answer(name, system, frame) for name, system in systems.items()}
            for name, suite in suites.items():
                suite.frame(answers[name], frame.label, clip)
            deep = _deep(features, frame)
            if frame.index >= skip:
                earlier, earlier_label, earlier_deep = before[0]
                if deep is not None and earlier_deep is not None:
                    for name, suite in suites.items():
                        suite.matched(earlier[name], answers[name], (earlier_deep, deep), clip)
                for flow, motion in motions.items():
                    pair = FramePair(motion.flow, motion.seen, earlier_label, frame.label)
                    for name, suite in suites.items():
                        suite.pair(flow, earlier[name], answers[name], pair, clip)
            before.append((answers, frame.label, deep))
            done += 1
            last, size = clip, f"{frame.size[0]}x{frame.size[1]}"
            if progress:
                progress(done, total)
    return last, size


@torch.inference_mode()
def _deep(features: Features | None, frame: Frame) -> Tensor | None:
    return None if features is None else features.of(frame.pixels[None].float() / 255)[0]


def _answer(name: str, system: Predictor, frame: Frame) -> FramePrediction:
    answer = system(frame)
    if tuple(answer.map.shape) != frame.size:
        (height, width), (rows, columns) = answer.map.shape, frame.size
        raise ValueError(
            f"{name}, {frame}: the prediction is {width}x{height}, expected {columns}x{rows} like its frame"
        )
    return answer


class _Motion(NamedTuple):
    """From a frame to one after it: flow (2, H, W), and (H, W) bool, what of it is seen in both."""

    flow: Tensor
    seen: Tensor


def frames_with_motion(
    source: Source, flows: Flows, cache: FlowCache | None, skip: int = 1
) -> Iterator[tuple[Frame, dict[str, _Motion]]]:
    """Each frame with the motion from the frame `skip` before it to it, as each flow sees it; none for the first.

    Of `skip` interleaved streams, each is read in lockstep: of each a frame or two are held.
    """
    waiting = [{name: deque[Frame](maxlen=2) for name in flows} for _ in range(skip)]
    motions = [
        {name: _motions(source, _popped(lane[name]), flow, cache, first, skip) for name, flow in flows.items()}
        for first, lane in enumerate(waiting)
    ]
    for frame in source.stream():
        lane = frame.index % skip
        for frames in waiting[lane].values():
            frames.append(frame)
        ready = frame.index >= skip
        yield frame, {name: next(motion) for name, motion in motions[lane].items()} if ready else {}


def _popped(frames: deque[Frame]) -> Iterator[Frame]:
    while True:
        yield frames.popleft()


def _motions(
    source: Source,
    frames: Iterator[Frame],
    flow: FlowEstimator | None,
    cache: FlowCache | None,
    first: int,
    skip: int,
) -> Iterator[_Motion]:
    """The motion from each frame to the next, of every frame that `skip` leads to from the first."""
    if flow is None:
        for index in range(first + skip, len(source), skip):
            exact = source.motion(index - skip, index)
            if exact is None:
                raise ValueError(f"{source.name} knows no exact motion: name a flow estimator")
            yield _Motion(exact.flow, exact.visible[0])
    elif cache is not None:
        for forward, seen in cache.motion(flow, (frame.for_flow() for frame in frames)):
            yield _Motion(forward[0].float().cpu(), seen[0, 0].cpu())
    else:
        for fields in flow.video(frame.pixels[None].float() / 255 for frame in frames):
            forward, backward = (field.float().cpu() for field in fields)
            yield _Motion(forward[0], visible(forward, backward)[0, 0])
