"""Trainings ended by SIGKILL at random places and resumed: they must end as if nobody had touched them."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

from soaks.trainings import all_methods, differences, write_config
from soaks.victim import PLACES, train

ROOT = Path(__file__).parents[2]
LIMIT = 300.0
"""Seconds that a training of a few steps may take."""
MISSED = "ended before"
"""Where a kill came too late; the first of a run is then tried again, earlier."""
ONLY = {"labels": "selfcorrecting", "cache": "kd"}
"""Places that one method alone goes through."""
WORKERS = (0, 2)


@dataclass
class Kill:
    """One run that was killed, once or more, and resumed; survived if nothing of it is `lost`."""

    method: str
    workers: int
    processes: int
    place: str
    where: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)


def kills(
    count: int, seed: int = 0, methods: Sequence[str] = (), processes: Sequence[int] = (1, 2), most: int = 2
) -> Iterator[Kill]:
    """Kill and resume `count` runs; every method is met with 0 and 2 workers and each number of processes, in turn.

    One process kills itself at a call drawn from all that the undisturbed run makes in a place; two are killed from
    outside, both at once, after a time drawn at random. Runs are killed once, twice, ... up to `most` times in turn.
    """
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="kills") as folder, _importable():
        wholes = _Wholes(Path(folder))
        for number, kill in enumerate(_drawn(count, rng, methods or all_methods(), processes)):
            run = Path(folder) / f"run{number}"
            config = write_config(Path(folder), kill.method, kill.workers, kill.processes)
            whole = wholes.of(kill.method, kill.processes)
            for turn in range(1 + number % most):
                if kill.processes > 1:
                    where = _kill_from_outside(config, run, turn > 0, rng.uniform(0, 1) * whole.seconds)
                else:
                    # Fewer calls are made where less is left to do, and here where workers read.
                    calls = whole.counts.get(kill.place, 0) // (1 + turn + (kill.workers > 0))
                    where = _kill_at(config, run, turn > 0, kill.place, rng.randint(1, max(calls, 1)))
                kill.where.append(where)
            resume = (run / "config.yaml").is_file()
            failure = _finish(config, run, resume, kill.processes)
            kill.lost = [failure] if failure else list(differences(whole.folder, run))
            yield kill


def _drawn(count: int, rng: random.Random, methods: Sequence[str], processes: Sequence[int]) -> Iterator[Kill]:
    """What is to be killed, in rounds of all that there is to kill; each in the place that was met least."""
    met = Counter[str]()
    combinations = list(product(methods, WORKERS, processes))
    for number in range(count):
        if number % len(combinations) == 0:
            rng.shuffle(combinations)
        method, workers, many = combinations[number % len(combinations)]
        possible = [place for place in PLACES if ONLY.get(place, method) == method]
        place = min(possible, key=lambda name: (met[name], name not in ONLY)) if many == 1 else "anywhere"
        met[place] += many == 1
        yield Kill(method, workers, many, place)


@dataclass
class Whole:
    """A run that nobody disturbed: how many calls it made in each place, and its seconds since it took its folder."""

    folder: Path
    counts: dict[str, int]
    seconds: float


class _Wholes:
    """Undisturbed runs, each made when it is first asked for. They have no workers, which must not matter."""

    def __init__(self, folder: Path):
        self.folder, self.made = folder, dict[tuple[str, int], Whole]()

    def of(self, method: str, processes: int) -> Whole:
        if (method, processes) not in self.made:
            config = write_config(self.folder, method, 0, processes)
            run = self.folder / f"whole-{method}-{processes}"
            if failure := _finish(config, run, False, processes):
                raise RuntimeError(f"{method} does not train at all: {failure}")
            report = _report(run)
            counts = json.loads(report.read_text())["counts"] if report.is_file() else {}
            self.made[method, processes] = Whole(run, counts, time.time() - (run / "config.yaml").stat().st_mtime)
        return self.made[method, processes]


def _finish(config: Path, run: Path, resume: bool, processes: int) -> str | None:
    """Train to the end; why that failed, if it did."""
    if processes > 1:
        process = _start(config, run, resume)
        _, err = process.communicate(timeout=LIMIT)
        return None if process.returncode == 0 else (err.strip().splitlines() or ["?"])[-1]
    code = _in_process(config, run, resume, "", None if resume else 0)
    if code == 0:
        return None
    return _report(run).with_suffix(".err").read_text().strip().rpartition("\n")[2] or f"exit code {code}"


def _kill_at(config: Path, run: Path, resume: bool, place: str, at: int) -> str:
    """Where the kill at call number `at` of a place met it; the first of a run is tried earlier if it came too late."""
    where = _kill_inside(config, run, resume, place, at)
    while where == MISSED and not resume and at > 1:
        shutil.rmtree(run)
        at //= 2
        where = _kill_inside(config, run, resume, place, at)
    return where


def _kill_inside(config: Path, run: Path, resume: bool, place: str, at: int) -> str:
    report = _report(run)
    report.unlink(missing_ok=True)
    code = _in_process(config, run, resume and (run / "config.yaml").is_file(), place, at)
    if code != -signal.SIGKILL:
        return MISSED if code == 0 else f"exit code {code}"
    return json.loads(report.read_text())["where"]


def _in_process(config: Path, run: Path, resume: bool, place: str, at: int | None) -> int:
    """Train in a process that was forked from one that has imported torch, and done no more; its exit code."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["temporalkd.experiments.run", "temporalkd.config"])
    process = context.Process(target=train, args=(config, run, resume, place, at, _report(run)))
    process.start()
    process.join(LIMIT)
    if process.exitcode is None:
        process.kill()
        process.join()
        raise TimeoutError(f"{run.name}: no end after {LIMIT:.0f} s")
    return process.exitcode


def _kill_from_outside(config: Path, run: Path, resume: bool, seconds: float) -> str:
    """SIGKILL to all processes of a training, so many seconds after it has taken its folder."""
    process = _start(config, run, resume and (run / "config.yaml").is_file())
    deadline = time.monotonic() + LIMIT
    while not (run / "config.yaml").is_file() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(seconds)
    ended = process.poll() is not None
    if not ended:
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    return MISSED if ended else f"after {seconds:.1f} s"


def _start(config: Path, run: Path, resume: bool) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "temporalkd.cli", "train", str(config), "-o", str(run)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TEMPORALKD_CACHE": str(run.with_suffix(".cache"))}
    return subprocess.Popen(
        [*command, *(["--resume"] if resume else [])],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
    )


def _report(run: Path) -> Path:
    return run.with_suffix(".json")


@contextmanager
def _importable() -> Iterator[None]:
    """The trainings' network, in processes that are started by command."""
    before = os.environ.get("PYTHONPATH")
    own = [str(ROOT), str(ROOT / "tools")]
    os.environ["PYTHONPATH"] = os.pathsep.join([*own, *([before] if before else [])])
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before
