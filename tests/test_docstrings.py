"""The examples in the docstrings of the front door run."""

from __future__ import annotations

import doctest
import importlib

import pytest

MODULES = (
    "temporalkd.experiments.api",
    "temporalkd.experiments.stabilize.front",
    "temporalkd.data.clip",
    "temporalkd.data.clip_datasets",
    "temporalkd.data.selection",
    "temporalkd.losses.modules",
    "temporalkd.methods.baseline",
    "temporalkd.methods.kd",
    "temporalkd.methods.etc",
    "temporalkd.methods.multilevel",
    "temporalkd.methods.stckd",
    "temporalkd.methods.fckd",
    "temporalkd.methods.footage",
    "temporalkd.methods.i2ckd",
    "temporalkd.methods.selfcorrecting",
    "temporalkd.methods.method",
    "temporalkd.metrics.maps",
    "temporalkd.models.joint",
    "temporalkd.models.segmenter",
)


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name: str) -> None:
    failed, attempted = doctest.testmod(importlib.import_module(name))
    assert attempted and not failed
