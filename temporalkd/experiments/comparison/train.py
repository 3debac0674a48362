"""Every training of a comparison in a process of its own, and none twice."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from flow.atomic import write_whole
from temporalkd.config import dump, load
from temporalkd.console import progress
from temporalkd.experiments import child, run_directory
from temporalkd.experiments.comparison import pace
from temporalkd.experiments.comparison.plan import Entry
from temporalkd.experiments.lock import run_lock
from temporalkd.experiments.signals import as_interrupts

PATIENCE, GRACE = 3.0, 30.0
"""Seconds after which a process that was interrupted is told so, and then has to end its step and save."""

Train = Callable[[Path, Path, bool], str | None]
"""(config file, run folder, whether to resume) -> None, or why it failed, in a line."""
Run = tuple[str, int]
"""The name of a system, and a seed."""


def train_all(
    systems: Sequence[Entry], seeds: Sequence[int], out: Path, train: Train, say: Callable[[str], None]
) -> dict[Run, str]:
    """Train what is not trained yet, seed by seed, so that whole comparisons are there early.

    Returns:
        The trainings that failed, and why.
    """
    waiting = [(e, seed) for seed in seeds for e in systems if not run_directory.is_finished(e.folder(out, seed))]
    failed: dict[Run, str] = {}
    for number, (entry, seed) in enumerate(waiting, 1):
        folder = entry.folder(out, seed)
        say(f"training {number} of {len(waiting)}: {entry.name}, seed {seed}")
        file = folder.with_suffix(".yaml")
        write_whole(file, dump(entry.at(seed)).encode())
        resume = (folder / "config.yaml").is_file() and run_directory.has_checkpoint(folder)
        reason = None if resume else _cleared(folder)
        if reason is None:
            pace.record(entry, folder)
            reason = train(file, folder, resume)
        if reason is None and not run_directory.is_finished(folder):
            reason = "it ended without a student"
        if reason is not None:
            failed[entry.name, seed] = reason
            say(f"{entry.name}, seed {seed}, failed: {reason}")
    return failed


def _cleared(folder: Path) -> str | None:
    """Take back what a training left that has saved nothing; why that cannot be, if another one is at it."""
    try:
        with run_lock(folder):
            run_directory.clear(folder)
    except FileExistsError as error:
        return str(error)
    return None


def in_process_of_its_own(file: Path, folder: Path, resume: bool) -> str | None:
    """`temporalkd train` on the file; what it says goes to a file beside the run folder."""
    log, steps = folder.with_suffix(".log"), load(file, own=False).training.steps
    with as_interrupts(), progress("train") as tick:
        process = child.start(file, folder, log, *(["--resume"] if resume else []))
        try:
            while process.poll() is None:
                tick(child.steps_taken(folder), steps)
                time.sleep(child.EVERY)
        except KeyboardInterrupt:
            _stop(process)
            raise
    return child.failure(process.returncode, log)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End it: it ends its step and saves. The terminal has told it too, and it is told again only where it goes on."""
    ends = ((lambda: None, PATIENCE), (process.terminate, GRACE), (process.kill, GRACE))
    for end, seconds in ends:
        with suppress(subprocess.TimeoutExpired):
            end()
            process.wait(seconds)
            return
