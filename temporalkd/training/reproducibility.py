"""Trainings that give the same bits again on the same machine."""

from __future__ import annotations

import os

import torch


def be_deterministic() -> None:
    """Let torch take deterministic algorithms alone, and refuse what has none; before the GPU is first used.

    On the processor what torch takes anyway is deterministic for one number of threads: nothing changes.

    Source:
        PyTorch documentation, Reproducibility.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.backends.cudnn.benchmark = False
    torch.use_deterministic_algorithms(True)
