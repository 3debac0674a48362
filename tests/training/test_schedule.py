"""Learning rates by hand, and what is decayed."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn

from temporalkd.training import Plan


def test_poly() -> None:
    plan = Plan(steps=10, schedule="poly", power=0.9)
    assert [plan.rate(s) for s in (0, 5, 9)] == pytest.approx([1, 0.5**0.9, 0.1**0.9])
    assert Plan(steps=4, power=2).rate(3) == pytest.approx(1 / 16)


def test_cosine() -> None:
    plan = Plan(steps=8, schedule="cosine")
    wanted = [1, 0.5 * (1 + math.cos(math.pi / 4)), 0.5, 0.5 * (1 - math.cos(math.pi / 8))]
    assert [plan.rate(s) for s in (0, 2, 4, 7)] == pytest.approx(wanted)


@pytest.mark.parametrize("schedule", ["poly", "cosine", "constant"])
def test_warmup_rises_to_the_full_rate_and_the_schedule_starts_there(schedule: str) -> None:
    plan = Plan(steps=14, schedule=schedule, warmup=4)  # type: ignore[arg-type]
    assert [plan.rate(s) for s in range(4)] == pytest.approx([0.25, 0.5, 0.75, 1])
    plain = Plan(steps=10, schedule=schedule)  # type: ignore[arg-type]
    assert [plan.rate(s) for s in range(4, 14)] == pytest.approx([plain.rate(s) for s in range(10)])


def network() -> nn.Module:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1), nn.GroupNorm(1, 2))
    module[2].bias.requires_grad_(False)
    return module


@pytest.mark.parametrize("optimiser", ["adamw", "sgd"])
def test_only_weights_of_two_and_more_dimensions_decay(optimiser: str) -> None:
    module = network()
    made = Plan(steps=1, optimiser=optimiser, lr=0.1, weight_decay=0.5, momentum=0.0).optimiser_maker()(module)  # type: ignore[arg-type]
    before = {k: v.clone() for k, v in module.named_parameters()}
    for parameter in module.parameters():
        if parameter.requires_grad:
            parameter.grad = torch.zeros_like(parameter)
    made.step()
    for name, parameter in module.named_parameters():
        factor = 0.95 if name in ("0.weight", "2.weight") else 1.0
        torch.testing.assert_close(parameter, factor * before[name])


def test_frozen_parameters_are_not_given_to_the_optimiser() -> None:
    module = network()
    made = Plan(steps=1).optimiser_maker()(module)
    held = {id(p) for group in made.param_groups for p in group["params"]}
    assert held == {id(p) for p in module.parameters() if p.requires_grad}
    assert id(module[2].bias) not in held


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"optimiser": "adam"}, "optimiser: .*'adamw' or 'sgd'"),
        ({"lr": 0}, "lr: .*greater than 0"),
        ({"rate": 1}, "no option 'rate'"),
    ],
)
def test_a_plan_of_a_python_call_is_checked(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=f"train: {said}"):
        Plan.given({"steps": 1, **wrong}, "train")
