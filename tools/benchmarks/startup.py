"""How long a person waits before anything happens."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator

from benchmarks.result import Result

ROWS = (
    ("temporalkd --help (reference: python that does nothing)", ["-m", "temporalkd.cli", "--help"], ["-c", "pass"]),
    ("import flow (reference: import torchvision)", ["-c", "import flow"], ["-c", "import torchvision"]),
)


def startup(repeats: int = 10) -> Iterator[Result]:
    """Seconds of a new process, the better of some turns; beside those of what cannot be avoided."""
    for what, ours, reference in ROWS:
        best = [float("inf"), float("inf")]
        for _ in range(repeats):
            for which, arguments in enumerate((ours, reference)):
                best[which] = min(best[which], seconds(arguments))
        yield Result(what=what, unit="s", ours=best[0], reference=best[1], ratio=best[0] / best[1])


def seconds(arguments: list[str]) -> float:
    """Of one process of this interpreter."""
    started = time.perf_counter()
    subprocess.run([sys.executable, *arguments], stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - started
