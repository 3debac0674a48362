"""Student and teacher of other channels, layers and sizes; and that the student is the same whatever trained it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from temporalkd import losses
from temporalkd.config import parse
from temporalkd.data.clip import Clip
from temporalkd.experiments import run
from temporalkd.methods import I2CKD, METHODS, TERMS, DistillationContext, Method, Multilevel, WeightedLoss
from temporalkd.methods.spatial_terms import Adapter, adapters
from temporalkd.models import Segmenter, load_segmenter
from tests import tiny
from tests.tiny import clip, segmenter


def test_channels_are_those_of_the_features() -> None:
    network = segmenter(width=12)
    network.train()
    found = network.channels
    assert network.training and found == {"logits": [9], "head": [12], "fused": [12], "low": [12, 12]}
    features = network(torch.rand(1, 3, 40, 56)).features
    assert found["low"] == [f.shape[1] for f in features["low"]]


def test_equal_channels_need_no_adapter_and_unequal_ones_get_one_a_layer() -> None:
    same = adapters(segmenter(), segmenter(seed=1), "low")
    assert len(same) == 2 and not list(same.parameters())
    made = adapters(segmenter(), segmenter(width=12), "low")
    assert [tuple(m[0].weight.shape) for m in made] == [(12, 8, 1, 1)] * 2
    assert len(adapters(segmenter(), None, "low")) == 0


@pytest.mark.parametrize("terms", [lambda: Multilevel().losses(), lambda: I2CKD(feature=["low", "head"]).losses()])
def test_adapters_start_at_the_statistics_of_the_teachers_features(terms: Callable[[], list[WeightedLoss]]) -> None:
    student, teacher = segmenter(), segmenter(seed=1, width=12)
    method = Method(student, terms(), teacher=teacher)
    clips = [clip(2, 2, seed=seed) for seed in range(3)]
    method.prepare(clips)
    found = [m for m in method.trainable_modules.modules() if isinstance(m, Adapter)]
    roles = ["low", "low"] if len(found) == 2 else ["low", "low", "head"]
    for number, (adapter, role) in enumerate(zip(found, roles)):
        layers = [method.context(c).teacher.features(role, t) for c in clips for t in range(2)]
        values = torch.cat([layer[number % 2 if role == "low" else 0] for layer in layers]).transpose(0, 1).flatten(1)
        torch.testing.assert_close(adapter[1].bias, values.mean(1))
        torch.testing.assert_close(adapter[1].weight, values.std(1))
        made = torch.cat(
            [adapter(method_features(student, c, role)[number % 2 if role == "low" else 0]) for c in clips]
        )
        assert made.mean((0, 2, 3)).sub(values.mean(1)).abs().max() < 0.2 * values.std(1).max()


def method_features(student: Segmenter, sample: Clip, role: str) -> list[Tensor]:
    """The student's features of the anchor frame."""
    context = DistillationContext(sample)
    context.predict(student)
    return [layer.detach() for layer in context.student.features(role, sample.anchor)]


def test_a_method_without_adapters_reads_no_clips_to_prepare() -> None:
    def never() -> Iterator[Clip]:
        raise AssertionError("read")
        yield

    Method(segmenter(), Multilevel().losses(), teacher=segmenter(seed=1)).prepare(never())


def test_layers_are_matched_from_the_deep_end() -> None:
    student, teacher = segmenter(), segmenter(seed=1)
    teacher.roles = {**teacher.roles, "low": ["body.3"]}
    context = DistillationContext(clip(1, 2), teacher)
    context.predict(student)
    term = TERMS["channel_kl"]("low")
    term.connect([student], teacher)
    expected = losses.channel_kl(
        context.student.features("low", 0)[1], context.teacher.features("low", 0)[0], context.valid(0, (12, 16))
    )
    assert term(context).item() == pytest.approx(expected.item(), rel=1e-6)


def test_the_mean_over_layers_is_the_mean_of_their_losses() -> None:
    context = DistillationContext(clip(1, 2), segmenter(seed=1))
    context.predict(segmenter())
    pairs = zip(context.student.features("low", 0), context.teacher.features("low", 0))
    values = [losses.attention(s, t, context.valid(0, s.shape[-2:])).item() for s, t in pairs]
    assert TERMS["attention"]("low")(context).item() == pytest.approx(sum(values) / 2, rel=1e-6)


def test_what_the_log_shows_leaves_no_trace_in_the_adapters() -> None:
    method = Method(segmenter(), I2CKD(feature="low").losses(), teacher=segmenter(width=12))
    method.trainable_modules.train()
    context = method.context(clip(1, 2))
    method.losses(context)
    before = {name: value.clone() for name, value in method.trainable_modules.state_dict().items()}
    assert any("running_mean" in name for name in before) and method.observed(context)
    after = method.trainable_modules.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert all(module.training for module in method.trainable_modules.terms.modules())  # type: ignore[union-attr]


def test_adapters_are_trained_and_are_no_part_of_the_student() -> None:
    method = Method(segmenter(), Multilevel().losses(), teacher=segmenter(width=12))
    inside = [name for name, _ in method.trainable_modules.named_parameters() if "adapters" in name]
    assert len(inside) == 2 * 3 and all(name.startswith("terms.low.") for name in inside)
    sum(method.losses(method.context(clip(2, 2))).values()).backward()  # type: ignore[union-attr]
    assert all(
        p.grad is not None and p.grad.norm() > 0
        for n, p in method.trainable_modules.named_parameters()
        if n in inside[:1]
    )
    assert method.best_student().state_dict().keys() == segmenter().state_dict().keys()


def test_a_role_that_one_network_lacks_is_told_before_training() -> None:
    lacking = segmenter()
    lacking.roles.pop("fused")
    message = "term 'middle': the network has no feature of role 'fused', it has: logits, head, low"
    for student, teacher in ((segmenter(), lacking), (lacking, segmenter())):
        with pytest.raises(ValueError, match=message):
            Method(student, Multilevel().losses(), teacher=teacher)


@pytest.mark.parametrize("name", [name for name in METHODS if name != "baseline"])
def test_every_method_gives_the_same_student(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many parameters and the same exported graph as the plain student's."""
    monkeypatch.setattr("temporalkd.training.trainer.FIT_CLIPS", 1)
    graphs = []
    for method in ("baseline", name):
        folder = tmp_path / method
        folder.mkdir()
        values = tiny.config(folder, method, training={"steps": 1})
        run.train(parse(values, "test"), folder / "run", say=lambda line: None)
        student, _ = load_segmenter(folder / "run" / "student.safetensors")
        program = torch.export.export(student.eval().network, (torch.rand(1, 3, 48, 64),))
        weights = {key: tuple(tensor.shape) for key, tensor in program.state_dict.items()}
        graphs.append((str(program.graph), weights))
    assert graphs[0] == graphs[1]
