"""The main job on synthetic streets: baseline, kd and etc, one table, one flicker video."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from flow.atomic import write_whole
from temporalkd.config import Config, dump, load
from temporalkd.console import duration, progress
from temporalkd.data.street import Street
from temporalkd.evaluation import Row, class_maps, network
from temporalkd.evaluation.tables import table
from temporalkd.experiments import api, child, run
from temporalkd.experiments.run_directory import load_run
from temporalkd.experiments.scoring import Scorer, write_rows
from temporalkd.visualization import render_flicker

TEACHER = "street-teacher"
LANES = (("etc",), ("baseline", "kd"))
"""Trained one after the other, the lanes side by side: about as long on each of two CPU cores."""
STUDENTS = ("baseline", "kd", "etc")
SHOWN_FRAMES = 60
SMALLER = ["training.steps=120", "training.evaluate_every=0", "data.val.count=3"]
"""Than the configs are, so that two CPU cores need minutes."""


def config_folder() -> Path:
    """The configs that come with the package, or those of the checkout."""
    inside = Path(__file__).parents[2] / "configs"
    return inside if inside.is_dir() else Path(__file__).parents[3] / "configs"


def demo(out: Path, seed: int = 0, say: run.Say = print) -> list[Row]:
    """Train configs/street/{baseline,kd,etc}.yaml with the teacher that comes along and compare them on unseen streets.

    Writes the run folders, evaluation.json and flicker.mp4 (baseline beside etc) below `out`.
    """
    started = time.monotonic()
    if out.exists() and not out.is_dir():
        raise FileExistsError(f"{out} is a file, expected a folder")
    if out.exists() and not (out / "etc" / "config.yaml").is_file() and any(out.iterdir()):
        raise FileExistsError(f"{out} exists and is not a demo: name another folder with -o")
    configs = {}
    for name in STUDENTS:
        shutil.rmtree(out / name, ignore_errors=True)
        overrides = [f"seed={seed}", *SMALLER]
        overrides += [] if name == "baseline" else [f"teacher.weights={TEACHER}"]
        configs[name] = load(config_folder() / "street" / f"{name}.yaml", overrides)
    say(f"training {', '.join(STUDENTS)} on synthetic streets, {configs['etc'].training.steps} steps each")
    train(configs, out)

    systems = {"teacher": api.load(TEACHER)} | {name: load_run(out / name)[1] for name in STUDENTS}
    config = configs["etc"]
    scorer = Scorer(config, next(systems["etc"].parameters()).device)
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
            palette=scorer.footage.palette,
            classes=scorer.footage.class_names,
            fps=street.fps,
            progress=lambda done: tick(done, SHOWN_FRAMES),
        )
    table(rows, f"unseen synthetic streets, seed {seed}")
    say(f"wrote {out / 'flicker.mp4'} and {out / 'evaluation.json'} in {duration(time.monotonic() - started)}")
    return rows


def train(configs: dict[str, Config], out: Path) -> None:
    """Run `temporalkd train` on each, the lanes side by side; what it says goes to OUT/NAME.log.

    Raises:
        RuntimeError: one of them failed; has its reason.
    """
    for name, config in configs.items():
        write_whole(out / f"{name}.yaml", dump(config).encode())
    total = sum(config.training.steps for config in configs.values())
    with ThreadPoolExecutor(len(LANES)) as pool, progress("train") as tick:
        lanes = [pool.submit(partial(_lane, names, out)) for names in LANES]
        while not all(lane.done() for lane in lanes):
            tick(sum(child.steps_taken(out / name) for name in configs), total)
            time.sleep(child.EVERY)
        for lane in lanes:
            lane.result()


def _lane(names: Sequence[str], out: Path) -> None:
    threads = str(max((os.cpu_count() or 1) // len(LANES), 1))
    for name in names:
        log = out / f"{name}.log"
        process = child.start(out / f"{name}.yaml", out / name, log, OMP_NUM_THREADS=threads)
        if reason := child.failure(process.wait(), log):
            raise RuntimeError(f"{name}: {reason} ({log})")
