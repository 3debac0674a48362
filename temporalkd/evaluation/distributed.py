"""What the processes of a run do together: each a part of an evaluation, and all of them know the whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import torch.distributed as dist

T = TypeVar("T")


def part(items: Sequence[T], together: bool) -> Iterator[tuple[int, T]]:
    """Number and item of those that are this process's: each is one process's, all are where it works alone."""
    number, processes = _place(together)
    return ((n, item) for n, item in enumerate(items) if n % processes == number)


def outcomes(job: Callable[[], T], together: bool) -> list[T]:
    """What each process's job gave, the same list in every process; one alone: what its own gave.

    Objects are sent, not tensors: counts lie in main memory, which NCCL cannot read.

    Raises:
        ValueError: the job failed in another process; says why. So no process waits for one that is gone.
    """
    _, processes = _place(together)
    if processes == 1:
        return [job()]
    failure: Exception | None = None
    own: Any = None
    try:
        own = job()
    except Exception as error:
        failure = error
    why = None if failure is None else str(failure) or repr(failure)
    found: list[Any] = [None] * processes
    dist.all_gather_object(found, (why, own))
    if failure is not None:
        raise failure
    for why, _ in found:
        if why is not None:
            raise ValueError(why)
    return [outcome for _, outcome in found]


def _place(together: bool) -> tuple[int, int]:
    if together and dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1
