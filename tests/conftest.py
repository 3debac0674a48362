"""Shared fixtures: where the real data is, and seeds."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from flow import FlowCache


def _data_root() -> Path | None:
    candidates = [os.environ.get("TEMPORALKD_DATA"), Path(__file__).parents[2] / "shared"]
    return next((Path(c).resolve() for c in candidates if c and (Path(c) / "data").is_dir()), None)


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder that holds data/ and weights/; skips the test where there is none."""
    root = _data_root()
    if root is None:
        pytest.skip("no real data: set TEMPORALKD_DATA to the folder that holds data/ and weights/")
    return root


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def flow_cache(tmp_path_factory: pytest.TempPathFactory) -> FlowCache:
    """Computed flow, kept for all tests of a run."""
    return FlowCache(tmp_path_factory.mktemp("flow"))
