"""Losses as modules: what the function gives, with its options held."""

from __future__ import annotations

import inspect

import pytest
import torch

from temporalkd import losses

MODULES = [m for m in vars(losses).values() if inspect.isclass(m) and losses.LossModule in m.__mro__[1:]]


def test_options_are_held_and_tensors_are_passed_on() -> None:
    student, teacher = torch.rand(2, 2, 4, 8, 8)
    valid = torch.rand(2, 1, 8, 8) > 0.5
    loss = losses.PixelKL(tau=3.0)
    torch.testing.assert_close(loss(student, teacher, valid), losses.pixel_kl(student, teacher, valid, 3.0))
    torch.testing.assert_close(loss(student, teacher, valid=valid), loss(student, teacher, valid))
    assert repr(loss) == "PixelKL(tau=3.0, standardise=False)"


def test_tensors_and_modules_among_the_options_move_with_the_loss() -> None:
    loss = losses.CrossEntropy(class_weight=torch.tensor([1.0, 2.0]))
    assert loss.double().class_weight.dtype == torch.float64 and not loss.state_dict()
    memory = losses.AffinityMemory((2, 2))
    assert list(losses.RecurrentDependency(memory=memory).children()) == [memory]


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_signature_tells_the_options(module: type[losses.LossModule]) -> None:
    parameters = inspect.signature(module.function).parameters
    assert list(inspect.signature(module).parameters) == list(module.options)
    assert set(module.options) < set(parameters)
    with pytest.raises(TypeError, match=f"{module.__name__}: .*(no_such|required argument)"):
        module(no_such=1)
