"""Checkpoints: tensors and plain values, written whole or not at all, read without running anything."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from flow.atomic import write_whole
from flow.saved import load_saved

State = dict[str, Any]

LAST, PREVIOUS, BEST = "last.pt", "previous.pt", "best.pt"
KEYS = {"step", "evaluated", "best", "guard", "trainables", "optimisers", "rng"}


class Found(NamedTuple):
    """A checkpoint to go on from; `doubt` says why it is not the newest one, if it is not."""

    state: State
    path: Path
    doubt: str | None


def rng_state() -> State:
    """State of torch's random generators, which dropout uses: the processor's, and that of this process's GPU."""
    state: State = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_initialized():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def set_rng_state(state: State) -> None:
    """Put the generators back."""
    torch.set_rng_state(state["cpu"])
    if torch.cuda.is_available() and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"])


def save(state: State, path: Path, previous: Path | None = None) -> None:
    """Write so that a reader sees the old checkpoint or the new one, whole.

    What was written is read back before it takes the old one's place; the old one then is `previous`.

    Raises:
        OSError: it cannot be written, or not read back as it was written; names the file. The old one stays.
    """
    buffer = io.BytesIO()
    torch.save(state, buffer)

    def accept(part: Path) -> None:
        if part.read_bytes() != buffer.getbuffer():
            raise OSError("the disk does not give back what was written")
        if previous is not None and path.exists():
            _keep_as(path, previous)

    try:
        write_whole(path, buffer.getbuffer(), accept)
    except OSError as error:
        reason = getattr(error, "strerror", None) or error
        raise OSError(f"{path}: the checkpoint cannot be written, the one before it stays: {reason}") from error


def latest(folder: Path) -> Found | None:
    """The newest checkpoint that can be read of a run's folder of them; None where nothing was saved.

    Raises:
        ValueError: what there is is damaged.
    """
    failure: str | ValueError | None = None
    for path in (folder / LAST, folder / PREVIOUS):
        if not path.is_file():
            failure = failure or f"{path} is missing"
            continue
        try:
            state = load(path)
        except ValueError as error:
            failure = failure or error
            continue
        doubt = None if failure is None else f"{failure}; going on from {path.name}, of step {state['step']}"
        return Found(state, path, doubt)
    if isinstance(failure, ValueError):
        left = "is not there" if not (folder / PREVIOUS).is_file() else "is no better"
        raise ValueError(f"{failure}; {PREVIOUS} {left}: train into another folder")
    return None


def load(path: Path) -> State:
    """Read a checkpoint; nothing in it is run.

    Raises:
        FileNotFoundError: there is none; ValueError: the file is damaged or not a checkpoint.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no checkpoint {path}: nothing to resume from")
    try:
        state = load_saved(path)
    except ValueError as error:
        raise ValueError(f"{path} is damaged or not a checkpoint: {error}") from error
    if not isinstance(state, dict) or not state.keys() >= KEYS:
        raise ValueError(f"{path} is not a checkpoint of this trainer")
    return state


def restore(module: nn.Module, tensors: State, path: Path) -> None:
    """Fill the students or a discriminator.

    Raises:
        ValueError: the checkpoint is of another student or method; names the first tensor that differs.
    """
    own = module.state_dict()
    differing = [k for k in own.keys() | tensors.keys() if k not in own or k not in tensors]
    differing += [k for k in own.keys() & tensors.keys() if own[k].shape != tensors[k].shape]
    if differing:
        raise ValueError(f"{path} is of another student or method: {sorted(differing)[0]!r} differs")
    module.load_state_dict(tensors)


def _keep_as(path: Path, previous: Path) -> None:
    """A second name, so that the first is never missing; where files have but one, that."""
    previous.unlink(missing_ok=True)
    try:
        os.link(path, previous)
    except OSError:
        path.replace(previous)
