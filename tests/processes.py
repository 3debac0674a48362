"""Processes that train or score together: forked from one that has imported torch already, which takes seconds."""

from __future__ import annotations

import multiprocessing
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

PRELOADED = ["temporalkd.experiments.run", "temporalkd.config", "temporalkd.evaluation", "temporalkd.cli"]


def _enter(job: Callable[..., object], arguments: tuple[Any, ...], environment: dict[str, str], folder: str) -> None:
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    job(*arguments)


def together(job: Callable[..., object], *arguments: Any, count: int = 2) -> None:
    """Call `job` in so many processes, with the variables that torchrun sets; all must end well."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count,
        "GROUP_RANK": 0, "TORCHELASTIC_RUN_ID": "tests", "OMP_NUM_THREADS": 1,
    }  # fmt: skip
    processes = []
    for rank in range(count):
        own = {key: str(value) for key, value in {**shared, "RANK": rank, "LOCAL_RANK": rank}.items()}
        process = context.Process(target=_enter, args=(job, arguments, {**os.environ, **own}, str(Path.cwd())))
        process.start()
        processes.append(process)
    for process in processes:
        process.join(120)
    codes = [process.exitcode for process in processes]
    for process in processes:
        process.kill()
    assert codes == [0] * count, codes
