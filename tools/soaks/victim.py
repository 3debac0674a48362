"""A training that kills itself with SIGKILL, at any call that Python makes."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
from collections import Counter
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

PLACES: dict[str, tuple[str, str]] = {
    "anywhere": ("experiments/run.py", "_train"),
    "step": ("training/step.py", "__call__"),
    "checkpoint": ("training/checkpoint.py", "save"),
    "log": ("training/log.py", ""),
    "evaluation": ("experiments/scoring.py", "rows"),
    "labels": ("training/pseudo_labels.py", "__call__"),
    "cache": ("flow/store.py", "save"),
    "student": ("models/weights.py", "save_segmenter"),
}
"""Name -> end of a file's path, and a function in it; "" for any. Within it, calls and returns are counted."""
ROOMS = ("/temporalkd/", "/flow/")


class Reaper:
    """A profiler that counts the calls in each place, and at number `at` of `place` ends the process."""

    def __init__(self, place: str, at: int, report: Path):
        self.place, self.at, self.report = place, at, report
        self.process = os.getpid()  # workers are forked with it
        self.counts: Counter[str] = Counter()
        self._depth: Counter[str] = Counter()
        self._of: dict[CodeType, list[str]] = {}

    def __call__(self, frame: FrameType, event: str, _: Any) -> None:
        """See sys.setprofile."""
        if os.getpid() != self.process:
            sys.setprofile(None)
            return
        if event in ("call", "return"):
            if (places := self._of.get(frame.f_code)) is None:
                places = self._of[frame.f_code] = _places(frame.f_code)
            for name in places:
                self._depth[name] += 1 if event == "call" else -1
        for name, depth in self._depth.items():
            if depth > 0:
                self.counts[name] += 1
        if self._depth[self.place] > 0 and self.counts[self.place] == self.at:
            self.tell(where=_where(frame))
            os.kill(os.getpid(), signal.SIGKILL)

    def tell(self, where: str = "") -> None:
        """Leave the counts to who waits."""
        self.report.write_text(json.dumps({"where": where, "counts": self.counts}))


def train(config: Path, folder: Path, resume: bool, place: str, at: int | None, report: Path) -> None:
    """`temporalkd train`, ended at call number `at` of `place`; 0: never, but counted; None: nor counted."""
    import torch

    multiprocessing.set_start_method("fork", force=True)  # as the command has it; else workers outlive who is killed
    from temporalkd.config import load
    from temporalkd.experiments import run

    torch.set_num_threads(1)
    os.environ["TEMPORALKD_CACHE"] = str(folder.with_suffix(".cache"))
    with report.with_suffix(".err").open("w") as err:
        os.dup2(err.fileno(), 2)
    reaper = Reaper(place, at or 0, report)
    if at is not None:
        sys.setprofile(reaper)
    try:
        run.train(load(config), folder, resume, say=lambda line: None)
    finally:
        sys.setprofile(None)
    if at is not None:
        reaper.tell()


def _places(code: CodeType) -> list[str]:
    return [n for n, (file, name) in PLACES.items() if code.co_filename.endswith(file) and name in ("", code.co_name)]


def _where(frame: FrameType | None) -> str:
    """The innermost functions of ours, outermost first."""
    names: list[str] = []
    while frame is not None and len(names) < 3:
        path = frame.f_code.co_filename
        if any(room in path for room in ROOMS):
            names.append(f"{Path(path).stem}.{frame.f_code.co_name}")
        frame = frame.f_back
    return " > ".join(reversed(names))
