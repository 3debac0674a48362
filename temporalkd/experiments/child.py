"""A training in a process of its own, so that a crash costs nothing else."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from temporalkd.training.log import LOG

EVERY = 0.5
"""Seconds between two looks at how far a training is."""


def start(config: Path, folder: Path, log: Path, *more: str, **variables: str) -> subprocess.Popen[bytes]:
    """`temporalkd train` on the config file, without scores; what it says goes to `log`.

    PYTHONSAFEPATH: -m would look for every module in the working folder first, and run a yaml.py that lies there.
    """
    command = [sys.executable, "-m", "temporalkd.cli", "train", str(config), "-o", str(folder), "--no-score", *more]
    with log.open("wb") as said:
        return subprocess.Popen(command, stderr=said, env={**os.environ, "PYTHONSAFEPATH": "1", **variables})


def steps_taken(folder: Path) -> int:
    """So far, by a log that is being written."""
    text = (folder / LOG).read_text() if (folder / LOG).is_file() else ""
    whole = text[: text.rfind("\n") + 1].splitlines()
    return int(json.loads(whole[-1])["step"]) if whole else 0


def failure(code: int, log: Path) -> str | None:
    """Why a training failed that ended with that code, in a line; None where it did not."""
    if code == 0:
        return None
    lines = log.read_text("utf-8", errors="replace").split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    if code > 0:
        return last.removeprefix("error: ") or f"ended by exit code {code}"
    hint = ", out of memory?" if -code == 9 else ""
    return f"ended by signal {-code} ({signal.strsignal(-code) or 'unknown'}{hint})"
