"""What ends a training from outside, in words that say what to do: memory, disk, loader workers, other processes."""

from __future__ import annotations

import errno
import re

import torch
import torch.distributed as dist

_AMOUNT = re.compile(r"[Tt]ried to allocate ([\d.]+ ?\w+)")
_NO_MEMORY = ("can't allocate memory", "not enough memory")
_NO_DISK = (errno.ENOSPC, errno.EDQUOT)
_IN_WORKER = re.compile(r"Caught \w+ in DataLoader worker process")
_WORKER = re.compile(r"DataLoader worker \(pid\(?s?\)? ?[\d, ]+\)")
_NO_ORDER = re.compile(r"(\w+) does not have a deterministic implementation")
_ONE_VALUE = "Expected more than 1 value per channel"
PEER = "another process of the training ended or cannot be reached"
_PEER = ("gloo", "Connection closed by peer", "Connection reset by peer", "Broken pipe")


def explained(error: Exception, step: int, saved: int, clips: str) -> Exception:
    """The error in our words where it is one of these, else the error itself.

    Args:
        step: that was being done.
        saved: of the last checkpoint, 0 where there is none.
        clips: what a step computes, in words.
    """
    text = str(error)
    go_on = f"--resume goes on from step {saved}" if saved else "nothing was saved"
    if isinstance(error, torch.OutOfMemoryError | MemoryError) or any(words in text for words in _NO_MEMORY):
        amount = _AMOUNT.search(text)
        tried = f" ({amount[1]} more were asked for)" if amount else ""
        return MemoryError(
            f"no memory for step {step}, {clips}{tried}: lower training.batch and raise training.accumulate instead, "
            f"or lower data.crop or data.frames; {go_on}"
        )
    if isinstance(error, ConnectionResetError | EOFError) or _WORKER.search(text):  # it is found out in either way
        return ChildProcessError(
            f"step {step}: a DataLoader worker was killed, probably out of memory: lower training.workers or "
            f"training.batch; {go_on}"
        )
    if _ONE_VALUE in text:
        return ValueError(
            f"step {step}, {clips}: a BatchNorm of the student sees one value of each channel, which has no variance: "
            f"raise training.batch or data.crop; {go_on}"
        )
    if refused := _NO_ORDER.search(text):
        return ValueError(
            f"step {step}: --deterministic: torch has no deterministic {refused[1]}: take a network without it, or "
            f"train without --deterministic; {go_on}"
        )
    if _IN_WORKER.match(text):  # torch puts the worker's traceback before what it says
        last = text.strip().splitlines()[-1]
        return type(error)(last.partition(": ")[2] or last)
    if getattr(error, "errno", None) in _NO_DISK or getattr(error.__cause__, "errno", None) in _NO_DISK:
        return OSError(f"{text.rpartition('] ')[2]}: make room; {go_on}")
    if of_another_process(error):
        return ConnectionError(f"step {step}: {PEER}; {go_on}")
    return error


def of_another_process(error: Exception) -> bool:
    """Whether it says no more than that another process has ended: why, that one has said."""
    if isinstance(error, dist.DistBackendError | dist.DistNetworkError):
        return True
    met = isinstance(error, RuntimeError) and dist.is_initialized()
    return met and any(words in str(error) for words in _PEER)
