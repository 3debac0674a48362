"""The main job on synthetic streets: teacher, baseline, kd and etc, one table, one flicker video."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from temporalkd.config import load
from temporalkd.console import duration, progress
from temporalkd.data.street import Street
from temporalkd.evaluation import Row, class_maps, network
from temporalkd.evaluation.tables import table
from temporalkd.experiments import run
from temporalkd.experiments.run_directory import load_run
from temporalkd.experiments.scoring import Scorer, write_rows
from temporalkd.visualization import render_flicker

STUDENTS = ("baseline", "kd", "etc")
SHOWN_FRAMES = 60
STEPS = {"teacher": 280, "baseline": 170, "kd": 170, "etc": 170}
"""Seven tenths of the configs' own, so that two CPU cores need minutes."""


def config_folder() -> Path:
    """The configs that come with the package, or those of the checkout."""
    inside = Path(__file__).parents[2] / "configs"
    return inside if inside.is_dir() else Path(__file__).parents[3] / "configs"


def demo(out: Path, seed: int = 0, say: run.Say = print) -> list[Row]:
    """Train configs/street/{teacher,baseline,kd,etc}.yaml one after the other and compare them on unseen streets.

    Writes the run folders, evaluation.json and flicker.mp4 (baseline beside etc) below `out`.
    """
    started = time.monotonic()
    names = ("teacher", *STUDENTS)
    if out.exists() and not out.is_dir():
        raise FileExistsError(f"{out} is a file, expected a folder")
    if out.exists() and not (out / "teacher" / "config.yaml").is_file() and any(out.iterdir()):
        raise FileExistsError(f"{out} exists and is not a demo: name another folder with -o")
    for name in names:
        shutil.rmtree(out / name, ignore_errors=True)
    teacher = out / "teacher" / "student.safetensors"
    for name in names:
        overrides = [f"seed={seed}", f"training.steps={STEPS[name]}", "training.evaluate_every=0"]
        overrides += [f"teacher.weights={teacher.resolve()}"] if name in ("kd", "etc") else []
        config = load(config_folder() / "street" / f"{name}.yaml", overrides)
        run.train(config, out / name, say=say, score=False)

    systems = {name: load_run(out / name)[1] for name in names}
    scorer = Scorer(config, next(systems["etc"].parameters()).device)
    say(f"scoring {', '.join(names)}")
    with progress("score") as tick:
        rows = scorer.rows({name: network(system) for name, system in systems.items()}, progress=tick)
    write_rows(rows, out / "evaluation.json")

    street = Street(seed=20_000 + seed, length=SHOWN_FRAMES, size=config.data.val.size)  # type: ignore[union-attr]
    motions = (street.motion(i, i + 1) for i in range(len(street) - 1))
    with progress("render") as tick:
        render_flicker(
            street.frames(),
            {name: class_maps(systems[name], street) for name in ("baseline", "etc")},
            out / "flicker.mp4",
            flow=((m.flow[None], m.backward[None]) for m in motions if m is not None),
            palette=scorer.footage.palette,  # type: ignore[union-attr]
            classes=scorer.footage.class_names,  # type: ignore[union-attr]
            fps=street.fps,
            progress=lambda done: tick(done, SHOWN_FRAMES),
        )
    table(rows, f"unseen synthetic streets, seed {seed}")
    say(f"wrote {out / 'flicker.mp4'} and {out / 'evaluation.json'} in {duration(time.monotonic() - started)}")
    return rows
