"""RAFT's networks in torchvision's names, and where their weights come from."""

from __future__ import annotations

import os
from os import PathLike
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from torchvision.models import optical_flow

from .saved import load_saved

SHIPPED = Path(__file__).with_name("raft_small_things.safetensors")
"""RAFT-small trained on FlyingChairs and FlyingThings3D; the licence lies beside it."""


def architecture(kind: str) -> Any:
    """torchvision's network of that name, without weights."""
    return {"raft_small": optical_flow.raft_small, "raft_large": optical_flow.raft_large}[kind](weights=None)


def load_weights(kind: str, weights: str | PathLike[str] | None = None) -> dict[str, Tensor]:
    """State dict for a kind of RAFT: shipped, found in the data root, read from a path, or downloaded by that word.

    Raises:
        FileNotFoundError: nothing there; the message says where it looked and what needs no weights.
        ValueError: the file is damaged or belongs to another network; the message says what does not match.
    """
    if weights == "download":
        enum = {"raft_small": optical_flow.Raft_Small_Weights, "raft_large": optical_flow.Raft_Large_Weights}[kind]
        try:
            return dict(enum.DEFAULT.get_state_dict(progress=False, check_hash=True))
        except OSError as error:
            raise OSError(f"{kind}: torchvision's weights could not be downloaded ({error})") from error
    path = Path(weights) if weights is not None else SHIPPED if kind == "raft_small" else _find(kind)
    if not path.is_file():
        raise FileNotFoundError(f"{kind}: no weights file {path}; the estimator 'dis' needs no weights")
    state = _read(path)
    _check(kind, state, path)
    return state


def _find(kind: str) -> Path:
    root = os.environ.get("TEMPORALKD_DATA")
    folder = Path(root) / "weights" if root else Path("..") / "shared" / "weights"
    for pattern in (f"{kind}_things.safetensors", f"{kind}*.safetensors"):
        found = sorted(folder.glob(pattern))
        if found:
            return found[0]
    raise FileNotFoundError(
        f"{kind}: no weights {kind}*.safetensors in {folder.absolute()} (TEMPORALKD_DATA is {root or 'not set'}); "
        "give a path, or 'download' for torchvision's, or use the estimator 'dis', which needs none"
    )


def _read(path: Path) -> dict[str, Tensor]:
    try:
        state = load_saved(path) if path.suffix in (".pth", ".pt") else load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"{path} is not a readable weights file: {reason}") from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ValueError(f"{path} does not hold a state dict (names to tensors)")
    return state


def _check(kind: str, state: dict[str, Tensor], path: Path) -> None:
    expected = architecture(kind).state_dict()
    missing = [key for key in expected if key not in state]
    surplus = [key for key in state if key not in expected]
    reshaped = [key for key in expected if key in state and state[key].shape != expected[key].shape]
    faults = []
    if missing:
        faults.append(f"{len(missing)} tensors are missing ({missing[0]}, ...)")
    if surplus:
        faults.append(f"{len(surplus)} are not its own ({surplus[0]}, ...)")
    if reshaped:
        key = reshaped[0]
        faults.append(f"{key} is {tuple(state[key].shape)} instead of {tuple(expected[key].shape)}")
    if faults:
        raise ValueError(f"{path} does not fit {kind} in torchvision's names: {'; '.join(faults)}")
