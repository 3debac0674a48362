"""The steps of a stabilization: targets, clips, training, verdict, report."""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import flow as optical_flow
from flow import FlowEstimator
from flow.store import Store
from temporalkd.config.build import cache_folder, default_cache
from temporalkd.console import duration, progress
from temporalkd.data.clip import Augment
from temporalkd.data.prediction_store import FlowAveragedStore, PredictionStore, Routed, Targets, fill
from temporalkd.data.sampler import ClipSampler
from temporalkd.data.selection import Part, Selection
from temporalkd.experiments.provenance import environment, fingerprint
from temporalkd.experiments.stabilize import report
from temporalkd.experiments.stabilize.before_after import BeforeAfter
from temporalkd.experiments.stabilize.judge import Judge, unlabelled
from temporalkd.experiments.stabilize.options import Options
from temporalkd.experiments.stabilize.recordings import Footage
from temporalkd.experiments.stabilize.verdict import HALF, SHARES, Verdict, decide, mixed
from temporalkd.methods import Method, WeightedLoss
from temporalkd.methods.spatial_terms import PixelKL
from temporalkd.methods.temporal_terms import MotionConsistency
from temporalkd.models import MappedClasses, MultiView, Segmenter, StoredTeacher, Teacher, ensemble, to_store
from temporalkd.models import fingerprint as network_fingerprint
from temporalkd.paths import read_json, write_json
from temporalkd.training import Plan, Runtime, Trainer
from temporalkd.training.checkpoint import BEST
from temporalkd.training.checkpoint import load as load_checkpoint
from temporalkd.training.log import METRICS
from temporalkd.training.step import Batches

SETTINGS, WATCHED = "stabilize.json", "accepted"
GIGABYTES = 20
SIZE = 640
"""Longest side of the frames, where nothing says at which size the network was trained."""
SCALES, RESIZED = (0.75, 1.0, 1.25), (0.8, 1.33)
"""Of the views; in training."""
TRIED = 16
"""Frames on which views are chosen."""
KEEP_SHARE = 4
"""One clip in so many is of footage that the network is to keep."""


class _Enough(Exception):
    """The held-out part does not get steadier any more."""


class Job:
    """The steps of one stabilization, in the order in which they are taken."""

    def __init__(
        self,
        original: Segmenter,
        larger: Segmenter | MappedClasses | None,
        options: Options,
        folder: Path,
        runtime: Runtime,
        tell: Callable,
    ):
        self.original, self.larger = original, larger
        self.folder, self.runtime, self.tell = folder, runtime, tell
        trained = original.spec.trained_size if original.spec else None
        self.size: int = options.size or max(trained or (SIZE,))
        """Longest side of the frames."""
        why = "" if options.size else ", as in training" if trained else ", since the training size is not known"
        self.size_told = f"longest side of the frames: {self.size} pixels{why}"
        self.options = options.model_copy(update={"size": self.size})
        self.cache = default_cache()
        self.store = Store(cache_folder() / "teacher", GIGABYTES * 2**30, "prediction store")

    def train(self, footage: Footage, keep: Sequence[Selection], resume: bool) -> Verdict:
        """The steady network, whether it is to be kept, and why."""
        options, student = self.options, self.original.clone()
        student.requires_grad_(True)
        self.views = self._views(footage)
        self.teacher = self._teacher()
        targets = self._targets(footage, keep)
        clips = self._clips(footage, keep, targets)
        judge = self._judge(footage) if footage.held else None
        plan = Plan(
            steps=options.steps,
            batch=max(1, options.batch // clips.length),
            lr=options.lr,
            jitter=options.jitter,
            disturbance=options.disturbance,
            seed=options.seed,
            evaluate_every=options.check_every if judge else 0,
            checkpoint_every=50,
            gradient_norms_every=0,
            eval_mode=True,
        )
        plan = self._timed(student, clips, plan, footage, keep, resume)
        with progress("targets") as tick:
            fill(targets, [*footage.used, *keep], tick)
        terms = [WeightedLoss("pixel_kl", PixelKL(neighbours=1.0), options.kl)]
        terms += [WeightedLoss("motion_consistency", MotionConsistency(), options.motion)]
        method = Method(student, terms, StoredTeacher(self.original), frames=clips.length)

        def look(segmenter: Segmenter, last: bool) -> dict[str, float | None]:
            assert judge is not None
            found = judge(mixed(self.original, segmenter, HALF if options.mix is None else options.mix))
            seen = [float(row["consistency"]) for row in _rows(self.folder / METRICS)] + [found["consistency"] or 0.0]
            if not last and _stands_still(seen, options.patience):
                raise _Enough
            return found

        scores = look if judge else None
        trainer = Trainer(method, clips, plan, self.runtime, self.folder, scores, name="stabilize", watch=WATCHED)
        ended = f"after {plan.steps} steps"
        try:
            trainer.fit(resume)
        except _Enough:
            ended = f"after {trainer.done} of {plan.steps} steps, as consistency did not rise any more"
        except KeyboardInterrupt:
            if trainer.done == 0:
                raise
            ended = f"after {trainer.done} of {plan.steps} steps, interrupted"
        return self._verdict(method, judge, ended)

    def _verdict(self, method: Method, judge: Judge | None, ended: str) -> Verdict:
        best = self.folder / "checkpoints" / BEST
        if judge is not None and best.is_file():
            method.trainable_modules.load_state_dict(load_checkpoint(best)["trainables"]["students"])
        return decide(self.original, method.student, self.options.mix, judge, ended)

    def report(self, footage: Footage, verdict: Verdict, film: bool) -> dict[str, dict[str, Any]]:
        """Before and after, along the flow that was used and along DIS, which teaches nothing."""
        flows = {name: self._flow(name) for name in dict.fromkeys((self.options.flow, "dis"))}
        after = report.AFTER if verdict.kept else report.REJECTED
        networks = {report.BEFORE: self.original, after: verdict.candidate}
        told = [verdict.reason, *report.shares(verdict), f"Frames: {footage.describe()}."]
        with TemporaryDirectory(prefix="temporalkd-") as scratch:
            comparison = BeforeAfter(networks, footage, flows, self.cache, self.size, Path(scratch))
            report.write(self.folder, told, comparison, film, self.tell)
        return comparison.found

    def _teacher(self) -> Teacher:
        """What is stored: the network in its views, with a larger one in the same views."""
        if self.larger is None:
            return self.views
        return ensemble(self.views, MultiView(self.larger, self.views.flip, self.views.scales))

    def _views(self, footage: Footage) -> MultiView:
        """The network in the views that are asked for, else in those that make it steadiest on the first frames.

        A network that was trained at one size may say something else of a resized frame; then resizing is no view.
        """
        options = self.options
        if options.scales is not None:
            return MultiView(self.original, options.flip, options.scales)
        single = MultiView(self.original, options.flip, (1.0,))
        if self.original.input_size is not None:
            return single
        first = [Part(footage.used[0], range(min(len(footage.used[0]), TRIED)))]
        flows = {options.flow: self._flow(options.flow)}
        judge = Judge(self.original, first, flows, self.cache, options.agreement)
        resized = MultiView(self.original, options.flip, SCALES)
        before, one, several = judge.before["consistency"], judge(single), judge(resized)
        steadier = (several["accepted"] or 0.0) > (one["accepted"] or before)
        taken = resized if steadier else single
        self.tell(
            f"consistency of {len(first[0])} frames: {before:.2f}, in {single.count} views {one['consistency']:.2f}, "
            f"in {resized.count} {several['consistency']:.2f} with {several['agreement']:.1f} % of pixels unchanged "
            f"(at least {100 * options.agreement:g}): the target is that of {taken.count} views"
        )
        return taken

    def _targets(self, footage: Footage, keep: Sequence[Selection]) -> Targets:
        """Views of the frames that are used; the plain prediction of what is to be kept."""
        options = self.options
        own: Any = PredictionStore(self.store, to_store(self.teacher), network_fingerprint(self.teacher))
        if options.flow_passes:
            estimator = self._flow(options.flow)
            estimate = lambda a, b: self.cache.both(estimator, a, b)  # noqa: E731
            own = FlowAveragedStore(own, estimate, estimator.fingerprint, options.flow_passes)
        if not keep:
            return own
        plain = PredictionStore(self.store, to_store(self.original), network_fingerprint(self.original))
        return Routed((footage.used, own), (keep, plain))

    def _clips(self, footage: Footage, keep: Sequence[Selection], targets: Targets) -> ClipSampler:
        options = self.options
        pairs = options.motion > 0
        height, width = footage.used[0].pixels.shape[-2:]
        if self.original.input_size is not None:  # a crop would show it things larger than it ever sees them
            crop = height, width
        else:
            crop = min(options.crop[0], height), min(options.crop[1], width)
        scale = options.scale or (RESIZED if len(self.views.scales) > 1 else (1.0, 1.0))
        smallest = max(scale[0], crop[0] / height, crop[1] / width)  # the frame fills the crop
        estimator = self._flow(options.flow) if pairs else None
        clips = ClipSampler(
            [],
            2 if pairs else 1,
            (1, 1),
            options.seed,
            unlabelled=[*footage.used, *keep],
            augment=Augment(crop, (smallest, max(smallest, scale[1])), True),
            motion=pairs,
            estimate=(lambda a, b: self.cache.both(estimator, a, b)) if estimator else None,
            targets=targets,
        )
        if keep:
            own = [anchor for anchor in clips.anchors if anchor[0] < len(footage.used)]
            others = [anchor for anchor in clips.anchors if anchor[0] >= len(footage.used)]
            clips.turns = [own] * (KEEP_SHARE - 1) + [others]
        return clips

    def _timed(
        self,
        student: Segmenter,
        clips: ClipSampler,
        plan: Plan,
        footage: Footage,
        keep: Sequence[Selection],
        resume: bool,
    ) -> Plan:
        """The plan with its number of steps, which a resumed run keeps; says how long all of it will take."""
        options, path = self.options, self.folder / SETTINGS
        asked = options.model_dump(mode="json") | {"network": network_fingerprint(self.original)}
        if self.larger is not None:
            asked["teacher"] = network_fingerprint(self.larger)
        if resume and path.is_file():
            found = read_json(path)
            before = {key: value for key, value in found.items() if key != "steps_taken"}
            if before != asked:
                raise ValueError(
                    f"{path}: the run was begun with other options or another network: resume with the same"
                )
            return plan.model_copy(update={"steps": int(found["steps_taken"])})
        frame = footage.used[0].pixels[:1].to(self.runtime.device).float() / 255
        seen = _seconds(lambda: self.original(frame))
        larger = self.larger
        each = seen if larger is None else seen + _seconds(lambda: larger(frame))
        computing = sum(map(len, footage.used)) * each * self.views.count
        computing += sum(map(len, keep)) * seen
        held = sum(map(len, footage.held))
        estimator = self._flow(options.flow)
        looking = 2 * held * _seconds(lambda: estimator(frame, frame)) if held else 0.0
        batches = Batches(clips, plan, self.runtime)

        def step() -> None:
            clip = next(batches(0, 1, workers=0))
            frames = batches.coloured(clip, 0).students
            student(frames.flatten(0, 1)).logits.square().mean().backward()
            student.zero_grad()

        pace = _seconds(step)
        steps = options.steps
        if options.minutes is not None:
            spent = computing + looking + (1 + len(SHARES)) * held * seen
            looks = held * seen / options.check_every  # a step's part of them
            steps = max(20, int((60 * options.minutes - spent) / (pace + looks)))
        looking += (steps // options.check_every + 1 + len(SHARES)) * held * seen
        self.tell(
            f"targets about {duration(computing)}, {steps} steps about {duration(steps * pace)}, "
            f"looks at the held-out part about {duration(looking)}: "
            f"about {duration(computing + steps * pace + looking)}"
        )
        write_json(path, asked | {"steps_taken": steps})
        prints = {"train": fingerprint(footage.recordings)}
        write_json(self.folder / "environment.json", environment(options.seed, prints))
        return plan.model_copy(update={"steps": steps})

    def _judge(self, footage: Footage) -> Judge:
        flows = {self.options.flow: self._flow(self.options.flow)}
        held = [unlabelled(source) for source in footage.held]  # nothing is chosen by labels
        return Judge(self.original, held, flows, self.cache, self.options.agreement)

    def _flow(self, name: str) -> FlowEstimator:
        return optical_flow.build(name).to(self.runtime.device)


def _seconds(work: Callable[[], Any]) -> float:
    """Of the second of two calls."""
    work()
    started = time.monotonic()
    work()
    return time.monotonic() - started


def _rows(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines())) if path.is_file() else []


def _stands_still(values: Sequence[float], looks: int) -> bool:
    """Whether the last so many values are no better than one before them."""
    return len(values) > looks and max(values[-looks:]) <= max(values[:-looks])
