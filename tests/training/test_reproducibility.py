"""`train --deterministic`: the same training on the processor; on a GPU, no kernel that torch refuses there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from flow import ordered, sampling
from tests import tiny
from tests.cli_support import write_config

METHODS = ["etc", "multilevel", "stckd"]
# Of those that torch.use_deterministic_algorithms lists as raising an error on CUDA, what a training might call. Not
# bilinear upsampling, which torch itself takes apart there.
REFUSED = {
    "_adaptive_avg_pool2d_backward",
    "_upsample_bicubic2d_aa_backward",
    "_upsample_bilinear2d_aa_backward",
    "adaptive_max_pool2d_backward",
    "avg_pool3d_backward",
    "grid_sampler_2d_backward",
    "grid_sampler_3d_backward",
    "histc",
    "index_reduce",
    "median",
    "put_",
    "reflection_pad2d_backward",
    "scatter_reduce",
}


class Refused(TorchDispatchMode):
    """The kernels among those that run which a GPU would refuse."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        weighted = name == "bincount" and (args[1:2] or [(kwargs or {}).get("weights")])[0] is not None
        reduced = name == "nll_loss2d_forward" and args[3] != 0
        if name in REFUSED or weighted or reduced:
            self.seen.add(name)
        return func(*args, **(kwargs or {}))


def trained(method: str, call: Any, folder: Path, output: str, *options: str) -> bytes:
    config = write_config(Path("a.yaml"), tiny.config(folder, method, training={"steps": 3}))
    call("train", config, "-o", output, "--no-score", *options)
    return Path(output, "student.safetensors").read_bytes()


@pytest.mark.parametrize("method", METHODS)
def test_it_is_the_same_training_on_the_processor(method: str, call: Any, tmp_path: Path) -> None:
    try:
        students = [
            trained(method, call, tmp_path, f"to{n}", *options) for n, options in enumerate([(), ("--deterministic",)])
        ]
    finally:
        torch.use_deterministic_algorithms(False)
    assert students[0] == students[1]
    assert json.loads(Path("to1/environment.json").read_text())["deterministic"] is True


@pytest.mark.parametrize("method", METHODS)
def test_no_gradient_needs_what_a_gpu_refuses(
    method: str, call: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (ordered, sampling):  # the branch that a GPU takes
        monkeypatch.setattr(module, "must_be_ordered", lambda *tensors: any(t.requires_grad for t in tensors))
    try:
        with Refused() as met:
            trained(method, call, tmp_path, "run", "--deterministic")
    finally:
        torch.use_deterministic_algorithms(False)
    assert met.seen == set()
