"""Checkpoints: tensors and plain values, written whole or not at all, read without running anything."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch
from torch import nn

from flow.files import write_whole
from flow.saved import load_saved

State = dict[str, Any]


def rng_state() -> State:
    """State of torch's random generators, which dropout uses."""
    state: State = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state_all()
    return state


def set_rng_state(state: State) -> None:
    """Put the generators back."""
    torch.set_rng_state(state["cpu"])
    if torch.cuda.is_available() and "cuda" in state:
        torch.cuda.set_rng_state_all(state["cuda"])


def save(state: State, path: Path) -> None:
    """Write so that a reader sees the old checkpoint or the new one, whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    torch.save(state, buffer)
    write_whole(path, buffer.getvalue())


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
    if not isinstance(state, dict) or not {"step", "players", "optimisers", "rng"} <= state.keys():
        raise ValueError(f"{path} is not a checkpoint of this trainer")
    return state


def restore(module: nn.Module, tensors: State, path: Path) -> None:
    """Fill a trainee or a critic.

    Raises:
        ValueError: the checkpoint is of another student or method; names the first tensor that differs.
    """
    own = module.state_dict()
    differing = [k for k in own.keys() | tensors.keys() if k not in own or k not in tensors]
    differing += [k for k in own.keys() & tensors.keys() if own[k].shape != tensors[k].shape]
    if differing:
        raise ValueError(f"{path} is of another student or method: {sorted(differing)[0]!r} differs")
    module.load_state_dict(tensors)
