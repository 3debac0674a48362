"""What a training takes: time, processor time, peak memory; kept beside the run, one entry an attempt."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch

from temporalkd.paths import read_json, write_json

FILE = "resources.json"
MEASURED = {"device", "seconds", "cpu_seconds", "peak_mib"}


@contextmanager
def recorded(folder: Path, device: torch.device, resume: bool, enabled: bool = True) -> Iterator[None]:
    """Measure what is done inside and append it to folder/resources.json.

    {"attempts": [...]}: an attempt is null until it ends, and stays so where the process was killed. It has `device`,
    `seconds`, `cpu_seconds` (of this process and of those it waited for) and `peak_mib` (resident memory of this
    process), on a GPU also `gpu_peak_mib` (what torch held).
    """
    if not enabled:
        yield
        return
    path = folder / FILE
    attempts = read(folder) if resume else []
    _write(path, [*attempts, None])
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    started, cpu_started = time.monotonic(), _cpu_seconds()
    try:
        yield
    finally:
        found: dict[str, Any] = {"device": device.type, "seconds": time.monotonic() - started}
        found |= {"cpu_seconds": _cpu_seconds() - cpu_started, "peak_mib": _peak_mib()}
        if device.type == "cuda":
            found["gpu_peak_mib"] = torch.cuda.max_memory_allocated(device) / 2**20
        with suppress(OSError):  # a disk that is full must not hide why the training ended
            _write(path, [*attempts, found])


def read(folder: Path) -> list[dict[str, Any] | None]:
    """The attempts of a run folder, none where nothing is known."""
    try:
        attempts = read_json(folder / FILE)["attempts"]
        whole = all(attempt is None or (attempt.keys() >= MEASURED) for attempt in attempts)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return []
    return attempts if whole else []


def _write(path: Path, attempts: list[dict[str, Any] | None]) -> None:
    write_json(path, {"attempts": attempts})


def _cpu_seconds() -> float:
    if sys.platform == "win32":
        return time.process_time()
    import resource

    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(u.ru_utime + u.ru_stime for u in used)


def _peak_mib() -> float | None:
    """VmHWM where there is one: ru_maxrss of a process also counts what its parent held when it was started."""
    status = Path("/proc/self/status")
    if status.is_file():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 2**10
    if sys.platform == "win32":
        return None
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
