"""A run: from a config to a folder with the trained student, its scores and all that is needed to repeat it."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

import flow as optical_flow
from flow import FlowEstimator
from flow.files import write_whole
from temporalkd import __version__, assemble
from temporalkd.config import Config, ConfigError, dump, load
from temporalkd.data.footage import Footage
from temporalkd.evaluation import Row, System, evaluate, network
from temporalkd.methods import Method
from temporalkd.models import ModelSpec, Segmenter, freeze, load_segmenter, save_segmenter
from temporalkd.training import Runtime, Trainer

Say = Callable[[str], None]


def train(config: Config, folder: Path, resume: bool = False, say: Say = print, score: bool = True) -> list[Row]:
    """Train the configured student into `folder` and, where data.val is given, score it.

    The folder gets config.yaml, environment.json, log.jsonl, metrics.csv, checkpoints/, and at the end
    student.safetensors + student.json and evaluation.json.

    Raises:
        FileExistsError: the folder holds a run and `resume` is not set.
        ConfigError: resuming with another config than the run was started with.
    """
    torch.manual_seed(config.seed)
    section = config.training
    runtime = Runtime(section.accelerator, section.devices, section.precision, section.nodes)
    return runtime.launch(lambda: _train(config, folder, resume, say, score, runtime))


def _train(config: Config, folder: Path, resume: bool, say: Say, score: bool, runtime: Runtime) -> list[Row]:
    data = assemble.footage(config.data.train, config.data.root, config.seed)
    torch.manual_seed(config.seed)  # the student starts the same whatever was built before it
    student, spec = assemble.model(config.student, "student", data)
    teacher = _teacher(config, data)
    method = assemble.method(config, student, teacher, data)
    clips = assemble.sampler(config, data)
    scorer = Scorer(config, runtime.device, classes=student.classes) if score and config.data.val is not None else None
    plan = assemble.plan(config)
    if runtime.is_main:
        _refuse(config, folder, resume)
        say(_cost(config, method, clips[0].frames.shape[1:], runtime))
        _open(config, folder)
    runtime.barrier()

    rows: list[Row] = []

    def metrics(segmenter: Segmenter, last: bool) -> dict[str, float | None]:
        """Of the student alone on the way; at the end beside teacher, ceiling and floor."""
        assert scorer is not None
        systems = {"student": network(segmenter)}
        if last and teacher is not None:
            systems["teacher"] = network(teacher)
        scored = scorer.rows(systems, references=last)
        rows[:] = scored if last else []
        return {"miou": scored[0].miou, "consistency": scored[0].consistency, "flip_rate": scored[0].flip_rate}

    try:
        Trainer(method, clips, plan, runtime, folder, metrics if scorer else None, config.name).fit(resume)
    except BaseException:
        if runtime.is_main and not resume and not (folder / "checkpoints" / "last.pt").exists():
            _clear(folder)
        raise
    if runtime.is_main:
        student = method.best_student()
        if scorer and not rows:  # resumed at the very end
            metrics(student, True)
        own = [row.as_dict() for row in rows if row.system == "student"]
        save_segmenter(student, spec, folder / "student.safetensors", {"metrics": own})
        if rows:
            write_rows(rows, folder / "evaluation.json")
    runtime.barrier()
    return rows


class Scorer:
    """Scores systems on the config's validation footage, with its flow.

    Args:
        flow: instead of the config's.
        classes: of the systems.
    Raises:
        ConfigError: the footage has other classes, or no exact motion where that is to be used.
    """

    def __init__(self, config: Config, device: torch.device, flow: str | None = None, classes: int | None = None):
        section = config.data.val
        self.footage: Footage | None = None
        if section is not None:
            self.footage = assemble.footage(section, config.data.root, config.seed)
        names = self.footage.class_names if self.footage is not None else ()
        if names and classes is not None and len(names) != classes:
            raise ConfigError(f"data.val has {len(names)} classes, the network {classes}")
        self.classes = len(names) or classes or 0
        self.protocols: Sequence[str] = config.evaluation.protocols
        kind = flow or config.evaluation.flow
        for source in self.footage.sources if self.footage is not None and kind == "exact" else ():
            if len(source) > 1 and source.motion(0, 1) is None:
                raise ConfigError(f"evaluation.flow: exact, but {source.name} knows no exact motion: raft_small or dis")
        self.flow: FlowEstimator | None = None
        if self.footage is not None and kind != "exact":
            self.flow = optical_flow.build(kind).to(device)
        self.cache = assemble.default_cache() if self.flow is not None else None

    def rows(self, systems: dict[str, System], references: bool = True, progress: Any = None) -> list[Row]:
        """One row a system and protocol."""
        if self.footage is None:
            raise ConfigError("data.val: missing: there is nothing to evaluate on")
        return evaluate(
            self.footage.sources, systems, self.classes, self.flow, self.protocols, self.cache, references, progress
        )


def load_run(folder: Path, overrides: Sequence[str] = ()) -> tuple[Config, Segmenter, ModelSpec]:
    """The config, with `overrides`, and the trained student of a run folder.

    Raises:
        FileNotFoundError: not a run folder, or one whose training has not ended.
    """
    if not (folder / "config.yaml").is_file():
        raise FileNotFoundError(f"{folder} is not a run folder: it has no config.yaml")
    if not (folder / "student.safetensors").is_file():
        raise FileNotFoundError(f"{folder} has no student.safetensors: its training has not ended (train --resume)")
    segmenter, spec = load_segmenter(folder / "student.safetensors")
    return load(folder / "config.yaml", overrides), segmenter, spec


def write_rows(rows: Sequence[Row], path: Path) -> None:
    """Results as json, whole or not at all."""
    write_whole(path, (json.dumps({"results": [row.as_dict() for row in rows]}, indent=2) + "\n").encode())


def _teacher(config: Config, data: Footage) -> Segmenter | None:
    if config.teacher is None:
        return None
    if not config.teacher.weights:
        raise ConfigError("teacher.weights: missing: an untrained teacher teaches nothing")
    teacher, _ = assemble.model(config.teacher, "teacher", data)
    freeze(teacher)
    return teacher


def _refuse(config: Config, folder: Path, resume: bool) -> None:
    """Look whether this training may use the folder."""
    path = folder / "config.yaml"
    if resume:
        if not path.is_file():
            raise FileNotFoundError(f"{folder} is not a run folder: nothing to resume")
        if not (folder / "checkpoints" / "last.pt").is_file():
            raise FileNotFoundError(f"{folder} was stopped before its first checkpoint: delete it and train again")
        if differing := list(_differing(load(path).model_dump(), config.model_dump())):
            raise ConfigError(
                f"{path} differs from the config given in {', '.join(differing[:4])}: "
                "resume with the same, or train into another folder"
            )
        return
    if folder.exists() and not folder.is_dir():
        raise FileExistsError(f"{folder} is a file, expected a folder")
    if path.exists():
        raise FileExistsError(f"{folder} already holds a run: --resume it, or name another folder with -o")


def _differing(one: dict[str, Any], other: dict[str, Any], above: str = "") -> Iterator[str]:
    """Dotted keys in which two configs differ."""
    for key in dict.fromkeys([*one, *other]):
        a, b = one.get(key), other.get(key)
        if isinstance(a, dict) and isinstance(b, dict):
            yield from _differing(a, b, f"{above}{key}.")
        elif a != b:
            yield above + key


def _open(config: Config, folder: Path) -> None:
    path = folder / "config.yaml"
    if path.exists():  # resumed
        return
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / "environment.json", (json.dumps(environment(config), indent=2) + "\n").encode())
    write_whole(path, dump(config).encode())


def _clear(folder: Path) -> None:
    """Take back what a training wrote that ended before its first checkpoint: there is nothing to resume."""
    for pattern in ("config.yaml", "environment.json", "log.jsonl", "metrics.csv", "events.out.tfevents.*"):
        for path in folder.glob(pattern):
            path.unlink(missing_ok=True)
    with suppress(OSError):
        folder.rmdir()


def environment(config: Config) -> dict[str, Any]:
    """What a run was made with."""
    git = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    return {
        "temporalkd": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cuda": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "cpus": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "seed": config.seed,
        "git": git.stdout.strip() or None,
    }


@torch.no_grad()
def _cost(config: Config, method: Method, shape: torch.Size, runtime: Runtime) -> str:
    """What the training will take, from one forward of each network; backward counts two forwards."""
    clip = torch.zeros(shape[0] * config.training.batch, *shape[1:], device=runtime.device)
    seconds = 0.0
    networks = [(method.student, 3.0)]
    if method.teacher is not None and config.method.name != "baseline":
        networks.append((method.teacher, 1.0))
    for module, share in networks:
        module.to(runtime.device)
        training = module.training
        module.eval()
        module(clip)
        started = time.monotonic()
        module(clip)
        seconds += share * (time.monotonic() - started)
        module.train(training)
    seconds *= config.training.accumulate
    steps, parameters = config.training.steps, sum(p.numel() for p in method.student.parameters())
    return (
        f"{config.name}: {parameters / 1e6:.2f} M parameters, {steps} steps x about {seconds:.2f} s "
        f"= about {steps * seconds / 60:.0f} min, {runtime.world} x {runtime.device.type}"
    )
