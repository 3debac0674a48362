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
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
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
    """Kill and resume `count` runs; methods, numbers of workers and processes, and places take turns.

    One process kills itself at a call drawn from all that the undisturbed run makes in that place; two are killed from
    outside, both at once, after a time drawn at random. Runs are killed once, twice, ... up to `most` times in turn.
    """
    rng = random.Random(seed)
    methods = methods or all_methods()
    places = [place for place in PLACES if ONLY.get(place, methods[0]) in methods]
    with tempfile.TemporaryDirectory(prefix="kills") as folder, _importable():
        wholes = _Wholes(Path(folder))
        for number in range(count):
            place = places[number % len(places)]
            method = ONLY.get(place, methods[number % len(methods)])
            many = processes[number // 3 % len(processes)]
            kill = Kill(method, rng.choice((0, 2)), many, "anywhere" if many > 1 else place)
            run = Path(folder) / f"run{number}"
            config = write_config(Path(folder), method, kill.workers, many)
            whole = wholes.of(method, many)
            times = 1 + number % most
            for turn in range(times):
                if many > 1:
                    where = _kill_from_outside(config, run, turn > 0, rng.uniform(0, 1) * whole.seconds)
                else:
                    # Fewer calls are made where less is left to do, and here where workers read.
                    calls = whole.counts.get(kill.place, 0) // (1 + turn + (kill.workers > 0))
                    at = rng.randint(1, max(calls, 1))
                    where = _kill_inside(config, run, turn > 0, kill.place, at)
                    while where == MISSED and turn == 0 and at > 1:
                        shutil.rmtree(run)
                        at //= 2
                        where = _kill_inside(config, run, False, kill.place, at)
                kill.where.append(where)
            resume = (run / "config.yaml").is_file()
            failure = _finish(config, run, resume, many)
            kill.lost = [failure] if failure else list(differences(whole.folder, run))
            yield kill


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
    context.set_forkserver_preload(["temporalkd.run", "temporalkd.config"])
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
