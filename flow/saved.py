"""Files of torch.save: tensors and plain values, read without running anything in them."""

from __future__ import annotations

import re
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

_REFUSED = re.compile(r"\bGLOBAL ([\w.]+)")
"""The first name that is not among those which weights_only allows, in torch's words."""


def load_saved(path: Path) -> Any:
    """The tensors and plain values in a .pt or .pth file, on the CPU.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: damaged, or holding code; one line of why, which does not name the file.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise
    except Exception as error:  # a damaged pickle may end in any of them
        raise ValueError(_why(error)) from error


def _why(error: Exception) -> str:
    """One line; torch's own of what weights_only refuses recommends to run it."""
    if isinstance(error, UnpicklingError) and (found := _REFUSED.search(str(error))):
        return f"it holds {found[1]}, more than tensors and plain values, and is not run: save its state dict alone"
    if isinstance(error, UnpicklingError):
        return "it is damaged, or holds more than tensors and plain values, and is not run"
    return str(error).splitlines()[0] if str(error) else type(error).__name__
