"""fp16 with a scaled loss: overflows lower the scale, checkpoints carry it, true divergence still stops."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from temporalkd.methods import Method, WeightedLoss
from temporalkd.methods.spatial_terms import CrossEntropy
from temporalkd.training import GivenBatches, Plan, Runtime, Trainer, checkpoint
from tests import tiny


def trainer(folder: Path, steps: int = 3, **settings: Any) -> Trainer:
    method = Method(tiny.segmenter(4), [WeightedLoss("cross_entropy", CrossEntropy())])
    runtime = Runtime("cpu", precision="16-mixed")
    torch.manual_seed(0)
    batches = [(torch.rand(2, 1, 3, 32, 32), torch.randint(4, (2, 32, 32)))]
    plan = Plan(steps=steps, lr=1e-3, gradient_norms_every=0, log_every=1, **settings)
    return Trainer(method, GivenBatches(batches, runtime), plan, runtime, folder)


def weights(run: Trainer) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in run.method.student.parameters()])


def scale(run: Trainer) -> float:
    assert run.runtime.scaler is not None
    return run.runtime.scaler.get_scale()


def test_networks_compute_in_fp16_and_learn(tmp_path: Path) -> None:
    run = trainer(tmp_path)
    seen = []
    run.method.student.network.classifier.register_forward_hook(lambda *call: seen.append(call[2].dtype))
    before = weights(run)
    run.fit()
    assert set(seen) == {torch.float16}
    assert not torch.equal(weights(run), before) and bool(weights(run).isfinite().all())


def test_an_overflow_skips_the_step_and_halves_the_scale(tmp_path: Path) -> None:
    run = trainer(tmp_path, steps=1)
    assert run.runtime.scaler is not None
    run.runtime.scaler.load_state_dict({**run.runtime.scaler.state_dict(), "scale": 2.0**60})
    before = weights(run)
    run.fit()
    assert torch.equal(weights(run), before) and scale(run) == 2.0**59


def test_the_scale_goes_on_from_the_checkpoint(tmp_path: Path) -> None:
    first = trainer(tmp_path, steps=2)
    assert first.runtime.scaler is not None
    first.runtime.scaler.load_state_dict({**first.runtime.scaler.state_dict(), "scale": 1024.0})
    first.fit()
    saved = checkpoint.load(tmp_path / "checkpoints" / checkpoint.LAST)
    assert saved["scaler"]["scale"] == 1024.0 and saved["scaler"]["_growth_tracker"] == 2
    again = trainer(tmp_path, steps=4)
    again.fit(resume=True)
    assert again.runtime.scaler is not None and again.runtime.scaler.state_dict()["_growth_tracker"] == 4
    assert scale(again) == 1024.0


def test_a_loss_that_is_not_finite_is_skipped_or_stops(tmp_path: Path) -> None:
    for name, settings in (("stop", {}), ("skip", {"on_nonfinite": "skip", "nonfinite_limit": 2})):
        run = trainer(tmp_path / name, **settings)
        (tmp_path / name).mkdir()
        with torch.no_grad():
            run.method.student.network.classifier.bias.fill_(float("nan"))
        with pytest.raises(FloatingPointError, match="cross_entropy"):
            run.fit()
