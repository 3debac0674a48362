"""Methods: the right parts with the right weights, and gradients that reach the student alone."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter
from torch import Tensor, nn

from temporalkd import methods
from temporalkd.config.schema import MethodChoice
from temporalkd.methods import (
    ETC,
    KD,
    METHODS,
    RAMP,
    TERMS,
    Baseline,
    DistillationContext,
    LossTerm,
    Method,
    Ramp,
    WeightedLoss,
)
from temporalkd.methods.spatial_terms import CrossEntropy, PixelKL
from temporalkd.methods.temporal_terms import InterAffinity, MotionConsistency, RecurrentDependency
from temporalkd.models import freeze
from tests.tiny import Counting, Played, clip, segmenter


class Constant(LossTerm):
    """A value that can be asked back."""

    def __init__(self, value: float = 1.0, frames: int = 1):
        super().__init__()
        self.value, self.frames = value, frames
        self.asked = 0

    def forward(self, context: DistillationContext) -> Tensor:
        self.asked += 1
        return context.student.logits(0).sum() * 0 + self.value


def test_etc_has_the_published_parts_and_weights() -> None:
    terms = {w.name: w for w in ETC().losses()}
    assert {name: w.weight for name, w in terms.items()} == {
        "cross_entropy": 1.0,
        "pixel_kl": 1.0,
        "intra_affinity": 10.0,
        "inter_affinity": 1.0,
        "recurrent_dependency": 2.0,
        "motion_consistency": 1.0,
    }
    assert {name for name, w in terms.items() if w.ramp} == {
        "inter_affinity",
        "recurrent_dependency",
        "motion_consistency",
    }
    assert [terms[n].term.neighbours for n in ("pixel_kl", "intra_affinity")] == [0.4, 0.4]  # type: ignore[union-attr]
    assert {name: w.term.frames for name, w in terms.items()} == {
        "cross_entropy": 1, "pixel_kl": 1, "intra_affinity": 1,
        "inter_affinity": 2, "motion_consistency": 2, "recurrent_dependency": 3,
    }  # fmt: skip
    assert [(w.name, w.weight) for w in KD().losses()] == [("cross_entropy", 1.0), ("pixel_kl", 1.0)]
    assert [(w.name, w.weight) for w in Baseline().losses()] == [("cross_entropy", 1.0)]


def test_options_reach_the_terms() -> None:
    weights = [1.0] * 8 + [2.0]
    values = {"pixel": 2, "intra": 3, "inter": 4, "recurrent": 5, "motion": 6, "neighbours": 0.7, "photometric": 8.0}
    made = ETC(class_weight=weights, feature="low", inter_feature="head", stop_gradient=True, **values)  # type: ignore[arg-type]
    terms = {w.name: w for w in made.losses()}
    assert [w.weight for w in terms.values()] == [1, 2, 3, 4, 5, 6]
    parts: dict[str, Any] = {name: w.term for name, w in terms.items()}
    assert parts["cross_entropy"].class_weight.tolist() == weights
    assert (parts["pixel_kl"].neighbours, parts["intra_affinity"].neighbours) == (0.7, 0.7)
    assert (parts["intra_affinity"].feature, parts["recurrent_dependency"].feature) == ("low", "low")
    assert parts["inter_affinity"].feature == "head"
    assert (parts["motion_consistency"].photometric, parts["motion_consistency"].stop_gradient) == (8.0, True)
    assert KD(tau=4.0).losses()[1].term.tau == 4.0  # type: ignore[union-attr]


def test_every_method_is_in_the_schema_with_its_own_options() -> None:
    for name, options in METHODS.items():
        assert options.model_fields["name"].default == name
        values = {"name": name, **options().model_dump(exclude={"name"})}
        assert TypeAdapter(MethodChoice).validate_python({"name": name}) == options.model_validate(values)


def test_functions_show_the_options_and_their_defaults() -> None:
    for name, options in METHODS.items():
        function = getattr(methods, name)
        shown = {k: p.default for k, p in inspect.signature(function).parameters.items() if p.kind is p.KEYWORD_ONLY}
        fields = {k: f.get_default() for k, f in options.model_fields.items() if k != "name"}
        assert shown == fields


def test_every_term_is_a_term() -> None:
    for name, term in TERMS.items():
        made = term()
        assert isinstance(made, LossTerm) and name.replace("_", "") == term.__name__.lower()


def test_mistakes_are_named_with_what_to_do() -> None:
    student = segmenter(4)
    with pytest.raises(ValueError, match=r"two terms of one name among \['a', 'b', 'a'\]"):
        Method(student, [WeightedLoss(n, Constant()) for n in "aba"])
    with pytest.raises(ValueError, match=r"'slow' needs clips of 3 frames, data\.frames is 2: raise it, or set .*0"):
        Method(student, [WeightedLoss("slow", Constant(frames=3))], frames=2)
    with pytest.raises(ValueError, match="the teacher has 5 classes, the student 4"):
        Method(student, [WeightedLoss("a", Constant())], teacher=segmenter(5))
    with pytest.raises(ValueError, match="no term"):
        Method(student, [WeightedLoss("a", Constant(), weight=0.0)])
    with pytest.raises(ValueError, match=r"term 'pixel_kl': distils from a teacher, .* set teacher\.weights"):
        Method(segmenter(), KD().losses())
    with pytest.raises(ValueError, match=r"distils from a teacher, and none is configured: set teacher\.weights"):
        _ = DistillationContext(clip(1)).teacher


def test_a_term_of_weight_zero_is_dropped_with_all_that_it_needs() -> None:
    teacher, off = Counting(segmenter()), Constant(frames=3)
    terms = [*KD(pixel=0.0).losses(), WeightedLoss("off", off, weight=0.0)]
    method = Method(segmenter(), terms, teacher=teacher, frames=1)  # type: ignore[arg-type]
    losses = method.losses(method.context(clip(1)))
    assert set(losses) == {"cross_entropy"} and off.asked == 0 and teacher.calls == 0
    assert "off" not in dict(method.trainable_modules.named_modules())
    also = Method(segmenter(), [WeightedLoss("a", Constant()), WeightedLoss("a", Constant(), weight=0)])
    assert list(also.terms) == ["a"], "a name is free where its term is off"


def test_ramps_rise_over_the_first_tenth() -> None:
    ramped, plain = WeightedLoss("a", Constant(), 4.0, RAMP), WeightedLoss("b", Constant(), 4.0)
    assert [ramped.at(p) for p in (0, 0.025, 0.05, 0.1, 0.5, 1)] == pytest.approx([0, 1, 2, 4, 4, 4])
    assert plain.at(0) == 4
    late = WeightedLoss("a", Constant(), 4.0, Ramp(0.3, 0.8))
    assert [late.at(p) for p in (0, 0.3, 0.55, 0.8, 1)] == pytest.approx([0, 0, 2, 4, 4])
    assert [Ramp(0.5, 0.5).at(p) for p in (0, 0.49, 0.5)] == [0, 0, 1], "a step"
    with pytest.raises(ValueError, match=r"start is not larger than end, both between 0 and 1: 0\.8, 0\.3"):
        Ramp(0.8, 0.3)
    method = Method(segmenter(), [ramped, plain])
    losses = {"a": torch.tensor(3.0), "b": torch.tensor(5.0)}
    weighted = method.weighted(losses, 0.05)
    assert {k: v.item() for k, v in weighted.items()} == pytest.approx({"a": 6, "b": 20})


def etc_method(seed_of_student: int = 1, **options: Any) -> Method:
    method = Method(segmenter(seed=seed_of_student), ETC(**options).losses(), teacher=segmenter(seed=0), frames=3)
    method.prepare([clip(3, 2, seed=s) for s in range(2)])
    return method


def test_gradients_reach_the_student_alone() -> None:
    sample = clip(3, 2)
    assert sample.flow is not None and sample.backward is not None
    flows = [f for p in range(2) for f in (sample.flow[:, p], sample.backward[:, p])]
    estimator = Played(flows)
    sample.flow = sample.backward = sample.visible = None
    teacher = segmenter(seed=0)
    method = Method(segmenter(seed=1), ETC().losses(), teacher, estimator, frames=3)
    assert method.frozen == [teacher, estimator]
    context = method.context(sample, progress=1.0)
    sum(method.weighted(method.losses(context), 1.0).values()).backward()  # type: ignore[union-attr]
    assert estimator.asked == 4
    for module in method.frozen:
        assert all(p.grad is None and not p.requires_grad for p in module.parameters()) and not module.training
    assert all(p.grad is not None and p.grad.norm() > 0 for p in method.student.parameters())
    memory = method.terms["recurrent_dependency"].term
    assert all(p.grad is None for p in memory.parameters())


@pytest.mark.parametrize("name", list(TERMS))
def test_each_term_alone_trains_the_student(name: str) -> None:
    terms = [w for w in ETC().losses() if w.name == name] or [WeightedLoss(name, TERMS[name]())]
    method = Method(segmenter(seed=1), terms, teacher=segmenter(seed=0), frames=3)
    method.prepare([clip(3, 2)])
    for average in method.trainable_modules.averages:  # type: ignore[union-attr]
        average.student.load_state_dict(segmenter(seed=2).state_dict())
    loss = method.losses(method.context(clip(3, 2), progress=1.0))[name]
    assert loss.item() > 0 or name == "adversarial", "a score has any sign"
    loss.backward()
    grad = method.student.network.body[0].weight.grad
    assert grad is not None and grad.norm() > 0


def test_a_perfect_student_pays_nothing_for_distillation() -> None:
    method = etc_method(seed_of_student=0, feature="head")
    losses = method.losses(method.context(clip(3, 2), progress=1.0))
    for name in ("pixel_kl", "intra_affinity", "inter_affinity", "recurrent_dependency"):
        assert losses[name].item() == pytest.approx(0, abs=1e-6), name
    other = etc_method(seed_of_student=1)
    worse = other.losses(other.context(clip(3, 2), progress=1.0))
    for name in ("pixel_kl", "intra_affinity", "inter_affinity", "recurrent_dependency"):
        assert worse[name].item() > 1e-5, name
    assert losses["cross_entropy"].item() > 0.5


def test_neighbours_count_as_much_as_said() -> None:
    sample = clip(3)
    context = DistillationContext(sample, freeze(segmenter(seed=0)))  # type: ignore[arg-type]
    context.predict(segmenter(seed=1))
    alone = [PixelKL().at(context, t) for t in range(3)]
    expected = alone[1] + 0.4 * (alone[0] + alone[2])
    assert PixelKL(neighbours=0.4)(context).item() == pytest.approx(expected.item(), rel=1e-6)
    assert PixelKL()(context).item() == pytest.approx(alone[1].item(), rel=1e-6)


def test_cross_entropy_counts_the_anchors_labels_and_the_auxiliary_head() -> None:
    from temporalkd.losses import cross_entropy

    sample = clip(3)
    context = DistillationContext(sample)
    context.predict(segmenter())
    plain = cross_entropy(context.student.logits(1), sample.labels[:, 1])
    assert CrossEntropy()(context).item() == pytest.approx(plain.item(), rel=1e-6)
    context.student.prediction.aux = context.student.prediction.logits * 3
    aux = cross_entropy(3 * context.student.logits(1), sample.labels[:, 1])
    assert CrossEntropy()(context).item() == pytest.approx((plain + 0.4 * aux).item(), rel=1e-6)


def test_stop_gradient_holds_the_neighbours() -> None:
    for stop in (False, True):
        context = DistillationContext(clip(3))
        context.predict(segmenter())
        native = context.student.prediction.native
        (gradient,) = torch.autograd.grad(MotionConsistency(stop_gradient=stop)(context), native)
        assert gradient[1].norm() > 0, "the labelled frame"
        assert bool(gradient[[0, 2]].norm() > 0) != stop, "its neighbours"


def test_photometric_weight_lowers_what_the_flow_explains_badly() -> None:
    values = []
    for beta in (0.0, 200.0):
        sample = clip(2)
        sample.frames[:, 1, :, :, 32:] = 1 - sample.frames[:, 1, :, :, 32:]
        context = DistillationContext(sample)
        context.predict(segmenter())
        native = context.student.prediction.native
        (gradient,) = torch.autograd.grad(MotionConsistency(beta)(context), native)
        values.append(float(gradient[0, :, :, 10:].norm() / gradient[0].norm()))
    assert values[1] < 0.1 < values[0]


def test_memory_is_fitted_before_training_and_only_then() -> None:
    untouched = Method(segmenter(), KD().losses(), teacher=segmenter())
    untouched.prepare(iter(lambda: pytest.fail("no term asked for clips"), None))  # type: ignore[arg-type]
    term = RecurrentDependency()
    before = {k: v.clone() for k, v in term.state_dict().items()}
    teacher = segmenter()
    method = Method(segmenter(), [WeightedLoss("mf", term)], teacher=teacher, frames=3)
    method.prepare([clip(3, 2)])
    assert any(not torch.equal(before[k], v) for k, v in term.state_dict().items())
    assert not any(p.requires_grad for p in term.parameters())


def test_all_that_is_trained_is_in_the_trainee() -> None:
    method = etc_method()
    names = set(method.trainable_modules.state_dict())
    assert {f"student.network.{n}" for n in method.student.network.state_dict()} <= names
    rest = {n for n in names if not n.startswith("student.")}
    assert rest and all(n.startswith("terms.recurrent_dependency.memory.") for n in rest)
    held = {p.data_ptr() for p in method.trainable_modules.parameters()}
    assert method.teacher is not None and not held & {p.data_ptr() for p in method.teacher.parameters()}
    assert method.best_student() is method.student
    optimiser = method.optimisers(lambda m: torch.optim.SGD(m.parameters(), 0.1))["students"]
    assert len(optimiser.param_groups[0]["params"]) == len(list(method.trainable_modules.parameters()))


def test_sizes_that_differ_are_matched_to_the_teacher() -> None:
    class Coarse(nn.Module):
        """The same network at half its resolution."""

        def __init__(self) -> None:
            super().__init__()
            self.inner, self.classes = segmenter(), 9

        def forward(self, frames: Tensor) -> Any:
            return self.inner(nn.functional.avg_pool2d(frames, 2))

    context = DistillationContext(clip(2), freeze(Coarse()))  # type: ignore[arg-type]
    context.predict(segmenter(seed=1))
    small = nn.functional.interpolate(context.student.native(0), (6, 8), mode="bilinear", align_corners=False)
    from temporalkd.losses import inter_affinity, pixel_kl

    assert PixelKL()(context).item() == pytest.approx(pixel_kl(small, context.teacher.native(0)).item(), rel=1e-5)
    other = nn.functional.interpolate(context.student.native(1), (6, 8), mode="bilinear", align_corners=False)
    expected = inter_affinity(small, other, context.teacher.native(0), context.teacher.native(1), centre=True)
    assert InterAffinity()(context).item() == pytest.approx(expected.item(), rel=1e-4)


def test_the_teacher_is_asked_before_the_student_and_only_where_a_term_distils() -> None:
    """So that it does not compute beside all that the student keeps for its gradient."""
    order: list[str] = []
    student, teacher = segmenter(), segmenter(seed=1)
    student.register_forward_hook(lambda *_: order.append("student"))
    teacher.register_forward_hook(lambda *_: order.append("teacher"))
    terms = [WeightedLoss("cross_entropy", CrossEntropy()), WeightedLoss("pixel_kl", PixelKL())]
    for chosen, expected in ((terms, ["teacher", "student"]), (terms[:1], ["student"])):
        order.clear()
        method = Method(student, chosen, teacher)
        method.losses(method.context(clip(2)))
        assert order == expected
