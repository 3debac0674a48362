"""A run: from a config to a folder with the trained student, its scores and all that is needed to repeat it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from temporalkd.config import Config, build
from temporalkd.console import duration, lines, progress
from temporalkd.data.footage import absent_classes
from temporalkd.data.prediction_store import fill
from temporalkd.data.sampler import ClipSampler
from temporalkd.evaluation import Row, network
from temporalkd.experiments import resources, run_directory
from temporalkd.experiments.lock import run_lock
from temporalkd.experiments.scoring import Scorer, write_rows
from temporalkd.methods import Method
from temporalkd.models import Segmenter, Teacher, evaluating, save_segmenter
from temporalkd.models.deployed import has_bf16
from temporalkd.training import PseudoLabels, Runtime, Trainer

Say = Callable[[str], None]


def train(config: Config, folder: Path, resume: bool = False, say: Say = print, score: bool = True) -> list[Row]:
    """Train the configured student into `folder` and, where data.val is given, score it.

    With `resume` it goes on from the newest checkpoint, begins where there is none, and leaves a run alone that has
    ended.

    The folder gets config.yaml, environment.json, resources.json, log.jsonl, metrics.csv, checkpoints/, of methods that
    make labels pseudo/, and at the end student.safetensors + student.json and evaluation.json.

    Returns:
        The scores, in the main process of several; none in the others.
    Raises:
        FileExistsError: the folder holds a run and `resume` is not set, or another training writes there.
        KeyboardInterrupt: SIGINT or SIGTERM, once the step is ended and saved.
        ConfigError: resuming with another config than the run was started with.
    """
    torch.manual_seed(config.seed)
    section = config.training
    runtime = Runtime(section.accelerator, section.devices, section.precision, section.nodes)

    def job() -> list[Row]:
        with run_lock(folder, runtime.is_main):
            return _train(config, folder, resume, say, score, runtime)

    return runtime.launch(job)


def _train(config: Config, folder: Path, resume: bool, say: Say, score: bool, runtime: Runtime) -> list[Row]:
    scored = score and config.data.val is not None
    weights = folder / "student.safetensors"
    if resume and run_directory.has_ended(folder, config.training.steps, scored):
        if runtime.is_main:
            run_directory.refuse_unusable(config, folder, resume)
            say(f"{folder} has finished: nothing to resume")
        return []
    data = build.training_footage(config)
    torch.manual_seed(config.seed)  # the student starts the same whatever was built before it
    student, spec = build.model(config.student, "student", data)
    teacher = build.teacher(config, data)
    method = build.method(config, student, teacher, data)
    targets = build.targets(config, teacher) if method.needs_teacher else None
    clips = build.sampler(config, data, method.self_training is not None, targets)
    asked = build.of_footage(method, clips)
    spec = student.spec = replace(spec, trained_size=clips.frame_size)
    scorer = Scorer(config, runtime.device, classes=student.classes) if scored else None
    plan = build.plan(config)
    splits = {"train": data.sources, **({"val": scorer.footage.sources} if scorer else {})}
    if runtime.is_main:
        doubt = run_directory.refuse_unusable(config, folder, resume)
        if doubt is not None:
            say(doubt)
        if scorer:
            scorer.check()
        say(_cost(config, method, clips, runtime))
        if (absent := absent_classes(data)) is not None:
            say(f"warning: data.train: {absent}")
        if config.training.precision == "bf16-mixed" and not has_bf16(runtime.device):
            say(f"warning: training.precision: this {runtime.device.type} has no bfloat16: 32-true is faster")
        for line in build.doubts(config):
            say(line)

    rows: list[Row] = []

    def metrics(segmenter: Segmenter, last: bool) -> dict[str, float | None]:
        """Of the student alone on the way; at the end beside teacher, ceiling and floor."""
        assert scorer is not None
        if last and runtime.is_main:  # whatever happens to the scoring, the student is there
            save_segmenter(segmenter, spec, weights, build.known_labels(config))
        systems = {"student": network(segmenter)}
        if last and teacher is not None and teacher.classes:
            systems["teacher"] = network(teacher)
        tells = runtime.is_main and not sys.stderr.isatty()  # a terminal has the bar of the training
        found = scorer.rows(systems, last, progress=lines(f"{config.name}: scored") if tells else None, together=True)
        rows[:] = found if last else []
        return {key: found[0][key] for key in ("miou", "consistency", "flip_rate")}

    labeller, place = method.self_training, folder / run_directory.PSEUDO
    between = PseudoLabels(method, labeller, clips, runtime, place) if labeller else None
    try:
        if runtime.is_main:
            for line in run_directory.open_folder(config, folder, splits):
                say(line)
        if clips.targets is not None and teacher is not None and runtime.is_main:
            teacher.to(runtime.device).eval()
            with progress("teacher") as tick:
                fill(clips.targets, asked, tick)
        runtime.barrier()
        with resources.recorded(folder, runtime.device, resume, enabled=runtime.is_main):
            scores = metrics if scorer else None
            trainer = Trainer(method, clips, plan, runtime, folder, scores, name=config.name, between=between)
            trainer.fit(resume)
    except BaseException:
        if runtime.is_main and not resume and not run_directory.has_checkpoint(folder):
            run_directory.clear(folder)
        raise
    student = method.best_student()
    if scorer and not rows:  # resumed at the very end
        metrics(student, True)
    if runtime.is_main:
        own = [row.as_dict() for row in rows if row.system == "student"]
        save_segmenter(student, spec, weights, {"metrics": own, **build.known_labels(config)})
        if rows:
            write_rows(rows, folder / "evaluation.json")
    runtime.barrier()
    return rows if runtime.is_main else []


@torch.no_grad()
def _cost(config: Config, method: Method, clips: ClipSampler, runtime: Runtime) -> str:
    """What the training will take: reading clips, and a forward of each network; the backward counts two."""
    section = config.training
    clip = clips[0].frames[0]
    started = time.monotonic()
    clips[0]
    reading = (time.monotonic() - started) * section.batch / max(section.workers, 1)
    frames = clip.repeat(section.batch, 1, 1, 1).to(runtime.device)
    networks: list[tuple[Teacher, float]] = [(student, 3.0) for student in method.students]
    if method.teacher is not None and clips.targets is None and method.needs_teacher:
        networks.append((method.teacher, 1.0))
    computing = 0.0
    for module, share in networks:
        module.to(runtime.device)
        with evaluating(module):
            module(frames)
            started = time.monotonic()
            module(frames)
            computing += share * (time.monotonic() - started)
    seconds = section.accumulate * (max(reading, computing) if section.workers else reading + computing)
    parameters = sum(p.numel() for p in method.student.parameters())
    return (
        f"{config.name}: {parameters / 1e6:.2f} M parameters, {section.steps} steps x about {seconds:.2f} s "
        f"= about {duration(section.steps * seconds)}, {runtime.world} x {runtime.device.type}"
    )
