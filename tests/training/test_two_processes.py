"""Twenty-five steps of two processes are those of one with the whole batch, whatever a method takes over the batch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from lightning_fabric.strategies import DDPStrategy

from temporalkd.training import Runtime
from tests import tiny
from tests.processes import together
from tests.training.fifty_steps import train

STEPS = 25
SYSTEMS: dict[str, dict[str, Any]] = {
    "etc": {"recurrent": 0},  # its memory is fitted on the first process's clips
    "i2ckd": {"scope": "batch"},
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one/METHOD and two/METHOD."""
    folder = tmp_path_factory.mktemp("scale")
    for method, options in SYSTEMS.items():
        values = tiny.config(folder, method)
        # As wide as the teacher: an adapter would bring a BatchNorm that sees its own process's batch alone.
        values["student"] |= {"architecture": "tests.training.fifty_steps:Normalised", "arguments": {"width": 12}}
        street = {"dataset": "import", "import": "tests.training.fifty_steps:streets"}
        # Padded, so that the processes have different numbers of valid pixels.
        values["data"] |= {"train": street, "crop": [64, 60]}
        values["method"] |= options
        values["training"] |= {"steps": STEPS, "optimiser": "sgd", "gradient_norms_every": 0}
        (folder / f"{method}.yaml").write_text(yaml.safe_dump(values))
    together(train, folder, "two", "training.devices=2", "training.batch=2")
    train(folder, "one", "training.batch=4")
    return folder


def curve(run: Path) -> dict[str, list[float]]:
    rows = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return {name: [row[name] for row in rows] for name in rows[0] if name not in ("seconds", "waited")}


@pytest.mark.parametrize("method", list(SYSTEMS))
def test_the_loss_curves_agree(method: str, runs: Path) -> None:
    one, two = (curve(runs / name / method) for name in ("one", "two"))
    assert one.keys() == two.keys() and two["step"] == list(range(1, STEPS + 1))
    assert one["loss"][-1] < 0.9 * one["loss"][0], "it learns, so that there is something to agree on"
    for name, values in one.items():
        if name != "gradient":
            assert two[name] == pytest.approx(values, rel=1e-5, abs=1e-5), name


def test_unused_parameters_are_not_searched_for() -> None:
    """Every parameter of the one wrapped module takes part in every step; looking for others costs a walk each time."""
    strategy = Runtime("cpu", devices=2)._fabric._strategy
    assert isinstance(strategy, DDPStrategy)
    assert not strategy._ddp_kwargs.get("find_unused_parameters")
