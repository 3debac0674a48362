"""The examples in the docstrings of the front door run."""

from __future__ import annotations

import doctest
import importlib

import pytest

MODULES = (
    "temporalkd.experiments.api",
    "temporalkd.data.clip",
    "temporalkd.data.folders",
    "temporalkd.losses.modules",
    "temporalkd.methods.front",
    "temporalkd.methods.method",
    "temporalkd.metrics.maps",
    "temporalkd.models.segmenter",
)


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name: str) -> None:
    failed, attempted = doctest.testmod(importlib.import_module(name))
    assert attempted and not failed
