"""Self-correction: who learns from what, which student wins, and that hidden labels teach nobody."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from temporalkd import losses
from temporalkd.config import ConfigError, parse
from temporalkd.data.clip import IGNORE, Clip, collate
from temporalkd.data.datasets import SyntheticStreets
from temporalkd.data.footage import Footage
from temporalkd.data.sampler import ClipSampler
from temporalkd.data.semi import hide_labels
from temporalkd.data.street import Street
from temporalkd.experiments import run
from temporalkd.methods import KD, DistillationContext, Method, SelfCorrecting, WeightedLoss
from temporalkd.methods.correction_terms import Ancillary, Collaboration, Correction
from temporalkd.methods.spatial_terms import CrossEntropy
from temporalkd.training import Trainer
from tests import tiny
from tests.data.test_semi import Poisoned
from tests.tiny import segmenter


def sampler(frames: int = 1) -> ClipSampler:
    streets = [Street(s, 6, tiny.SIZE, light=0, grain=0) for s in (1, 2)]
    return ClipSampler(hide_labels(streets, 0.5, share=0.5, margin=1), frames, seed=2, weak=1.0)


def batch(start: int = 0) -> Clip:
    clips = sampler()
    return collate([clips[i] for i in range(start, start + 4)])


def method(**options: Any) -> Method:
    student, teacher = segmenter(seed=1), segmenter(seed=9, width=12)
    return SelfCorrecting(**{"fit": 3, **options}).build(student, teacher, make_peer=lambda k: segmenter(seed=1 + k))


def gradients(made: Method, name: str, clip: Clip, progress: float = 0.5) -> dict[str, float]:
    """Norm of one term's gradient in each of its parts."""
    made.trainable_modules.zero_grad()
    made.losses(made.context(clip, progress=progress))[name].backward()
    parts: dict[str, nn.Module] = {f"student{k}": student for k, student in enumerate(made.students)}
    parts |= dict(made.terms["correction"].term.named_children())
    return {
        part: sum(float(p.grad.norm()) for p in module.parameters() if p.grad is not None)
        for part, module in parts.items()
    }


def test_it_has_the_published_parts() -> None:
    weights = {w.name: (w.weight, bool(w.ramp)) for w in SelfCorrecting(corrector="conv").recipe().losses}
    assert weights == {
        "cross_entropy": (1.0, False),
        "correction": (1.0, True),
        "corrector": (1.0, False),
        "collaboration": (1.0, True),
        "pixel_kl": (1.0, False),
        "intra_affinity": (10.0, False),
    }
    made = method()
    assert made.self_training is not None and (made.self_training.rounds, len(made.students)) == (2, 2)
    plain = method(**SelfCorrecting.rows["labelled only"])
    assert (len(plain.students), plain.self_training) == (1, None)
    assert list(plain.terms) == ["cross_entropy"], "the baseline, and nothing else"
    assert len(method(**SelfCorrecting.rows["+ corrected (linear)"]).students) == 1
    weak = method(**SelfCorrecting.rows["+ raw weak"]).self_training
    assert weak is not None and weak.rounds == 1, "a weak label as it is stays as it is"


def test_who_learns_from_what() -> None:
    made = method(corrector="conv")
    learnt = {name: gradients(made, name, batch()) for name in made.terms}
    for name, parts in learnt.items():
        assert (parts["student0"] > 0) == (parts["student1"] > 0) == (name != "corrector"), name
        assert (parts["corrector"] > 0) == (name == "corrector"), name
        assert parts["ancillary"] == 0, name
    only_labelled, only_bare = (collate([sampler()[i] for i in range(k, k + 6, 2)]) for k in (0, 1))
    for name, labelled, bare in (
        ("cross_entropy", 1, 0),
        ("corrector", 1, 0),
        ("correction", 0, 1),
        ("pixel_kl", 1, 1),
    ):
        for clip, learns in ((only_labelled, labelled), (only_bare, bare)):
            assert (sum(gradients(made, name, clip).values()) > 0) == bool(learns), name


def test_the_ancillary_network_speaks_once_a_step() -> None:
    made, calls = method(corrector="conv"), []
    made.terms["correction"].term.ancillary.register_forward_hook(lambda *a: calls.append(1))  # type: ignore[union-attr,operator]
    context = made.context(batch(), progress=0.5)
    made.losses(context)
    assert len(made.students) == 2 and len(calls) == 1


def test_the_soft_label_is_the_linear_correction_by_hand() -> None:
    made, clip = method(), batch()
    term: Any = made.terms["correction"].term
    context = made.context(clip, progress=0.5)
    made.losses(context)
    context = context.views()[1]
    bare = clip.labelled[:, 0].logical_not()
    assert bare.tolist() == [False, True, False, True]
    ancillary, student = term.ancillary_logits(context)[bare], context.student.native(0)[bare]
    target = losses.linear_correction(student, ancillary, losses.alpha_schedule(0.5))
    expected = losses.soft_cross_entropy(student, target.detach())
    assert term(context).item() == pytest.approx(expected.item(), rel=1e-5)
    raw = Correction("none")
    weak = clip.weak[bare]  # type: ignore[index]
    expected = losses.cross_entropy(context.student.logits(0)[bare], weak)
    assert raw(context).item() == pytest.approx(expected.item(), rel=1e-5)


def test_values_are_means_over_students_and_each_learns_as_if_alone() -> None:
    made, clip = method(collaboration=1e-9), batch()
    context = made.context(clip)
    values = made.losses(context)
    each = []
    for view in context.views():
        each.append(CrossEntropy()(view))
    assert values["cross_entropy"].item() == pytest.approx((each[0] + each[1]).item() / 2, rel=1e-6)
    weight = made.students[1].network.classifier.weight
    (alone,) = torch.autograd.grad(each[1], weight, retain_graph=True)
    (together,) = torch.autograd.grad(made.weighted(values, 1.0)["cross_entropy"], weight)
    torch.testing.assert_close(together, alone)


def test_collaboration_reads_the_other_students() -> None:
    context = DistillationContext(batch())
    context.predict(*(segmenter(seed=k) for k in range(3)))
    logits = [student.native(0) for student in context.students]
    for k, view in enumerate(context.views()):
        expected = losses.collaboration(logits, k)
        assert Collaboration()(view).item() == pytest.approx(expected.item(), rel=1e-6)


def test_the_ancillary_network_is_fitted_on_half_of_the_labels_and_frozen() -> None:
    made, clips = method(fit=60), sampler()
    asked: list[int] = []

    def batches(count: int) -> list[Clip]:
        asked.append(count)
        half = clips.labelled_half()
        return [collate([half[i], half[i + 1]]) for i in range(count)]

    term: Any = made.terms["correction"].term

    def entropy() -> float:
        context = made.context(batch())
        logits = nn.functional.interpolate(term.ancillary_logits(context), tiny.SIZE, mode="bilinear")
        return losses.cross_entropy(logits, context.clip.labels[:, 0]).item()

    start = {k: v.clone() for k, v in made.students[0].state_dict().items()}
    before = entropy()
    assert made.self_training is not None
    made.self_training.fit(made, batches)
    assert asked == [60] and entropy() < 0.6 * before
    assert all(torch.equal(start[k], v) for k, v in made.students[0].state_dict().items())
    assert not any(p.requires_grad for p in term.ancillary.parameters())
    optimiser = made.optimisers(lambda m: torch.optim.SGD([p for p in m.parameters() if p.requires_grad], 0.1))
    trained = {id(p) for p in optimiser["students"].param_groups[0]["params"]}
    assert not trained & {id(p) for p in term.ancillary.parameters()}


def test_the_ancillary_network_knows_the_unknown() -> None:
    torch.manual_seed(0)
    network, feature = Ancillary(4, 9), torch.randn(1, 4, 5, 6)
    unknown = torch.full((1, 5, 6), IGNORE)
    outputs = [network(feature, weak) for weak in (unknown, unknown * 0, unknown * 0 + 8)]
    assert outputs[0].shape == (1, 9, 5, 6) and len({o.sum().item() for o in outputs}) == 3


def test_the_student_that_errs_less_is_exported() -> None:
    made = method()
    with torch.no_grad():
        made.students[0].network.classifier.bias[3] = 20.0
    for k in range(3):
        made.losses(made.context(batch(4 * k)))
    assert made.best_student() is made.students[1]
    state = made.trainable_modules.state_dict()
    assert state["judged"][1] < state["judged"][0] and state["judgements"] == 3
    again = method()
    again.trainable_modules.load_state_dict(state)
    assert again.best_student() is again.students[1]
    made.losses(made.context(collate([sampler()[1], sampler()[3]])))
    assert made.trainable_modules.state_dict()["judgements"] == 3, "without labels there is nothing to judge by"


@pytest.mark.parametrize("corrector", ["none", "linear", "conv"])
def test_pseudo_labels(corrector: Any) -> None:
    clips = sampler()
    made, sure = method(corrector=corrector, collaboration=0), method(corrector=corrector, confidence=0.3)
    for anchor in clips.unlabelled:
        clip = clips.whole(anchor)
        labels, some = (m.self_training.pseudo_labels(m, clip, 1.0) for m in (made, sure))  # type: ignore[union-attr]
        assert labels.shape == (1, *tiny.SIZE) and int(labels.max()) < 9
        if corrector == "none":
            known = clip.weak != IGNORE
            assert torch.equal(labels[known], clip.weak[known]), "what is known stays"  # type: ignore[index]
        assert ((some == IGNORE) | (some < 9)).all() and (some == IGNORE).any()
    assert all(student.training for student in made.students)


def values(folder: Path, **sections: dict[str, Any]) -> dict[str, Any]:
    made = tiny.config(folder, "selfcorrecting")
    made["method"]["rounds"] = 2
    for name, section in sections.items():
        made[name] = {**made[name], **section}
    return made


def train(config: dict[str, Any], folder: Path, say: Any = lambda line: None) -> dict[str, Tensor]:
    run.train(parse(config, "test"), folder, say=say, score=False)
    return load_file(folder / "student.safetensors")


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def test_each_row_trains_and_differs_and_exports_a_plain_student(tmp_path: Path) -> None:
    students = {}
    for number, (name, options) in enumerate(SelfCorrecting.rows.items()):
        config = values(tmp_path)
        config["method"] |= options
        students[name] = train(config, tmp_path / str(number))
    plain = values(tmp_path)
    plain["method"] = {"name": "baseline"}
    del plain["teacher"]
    baseline = train(plain, tmp_path / "baseline")
    assert same(baseline, students.pop("labelled only"))
    found = [baseline, *students.values()]
    for k, student in enumerate(found):
        assert {name: x.shape for name, x in student.items()} == {name: x.shape for name, x in baseline.items()}
        assert not any(same(student, other) for other in found[:k])
    state = torch.load(tmp_path / "5" / "checkpoints" / "last.pt", weights_only=True)["trainables"]["students"]
    first, second = (
        {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
        for prefix in ("student.network.", "peers.0.network.")
    )
    assert first.keys() == second.keys() and not any(torch.equal(first[k], second[k]) for k in first if "weight" in k)
    exported = load_file(tmp_path / "5" / "student.safetensors")
    assert same(exported, second if state["judged"].argmin() else first)


def poisoned(right: list[list[int]] | None) -> Footage:
    """Two streets; of the labels only those named are right."""
    footage = SyntheticStreets(count=2, seed=1, length=6, size=tiny.SIZE).open()
    kept = [set(frames) for frames in right] if right is not None else [set(range(6))] * 2
    footage.sources = [Poisoned(source, frames) for source, frames in zip(footage.sources, kept)]
    return footage


@pytest.mark.parametrize("weak", ["none", "flow"])
@pytest.mark.parametrize("corrector", ["none", "conv"])
def test_hidden_labels_teach_nobody(weak: str, corrector: str, tmp_path: Path) -> None:
    kept = [x.labelled for x in hide_labels(poisoned(None).sources, 0.34)]
    students, measured = [], []
    for name, right in (("true", None), ("false", kept)):
        made = {"dataset": "import", "import": f"{__name__}:poisoned", "options": {"right": right}}
        config = values(tmp_path, method={"corrector": corrector, "class_weight": "enet"})
        config["data"] |= {"train": made, "semi": {"labelled": 0.34, "weak": weak, "share": 1.0}}
        students.append(train(config, tmp_path / name))
        last = "round1.json" if corrector == "none" else "round2.json"
        measured.append(json.loads((tmp_path / name / "pseudo" / last).read_text()))
    assert same(*students)
    assert measured[0]["miou"] != measured[1]["miou"] and measured[0]["coverage"] == measured[1]["coverage"]
    pictures = [[p.read_bytes() for p in sorted((tmp_path / n / "pseudo").rglob("*.png"))] for n in ("true", "false")]
    assert pictures[0] == pictures[1] and len(pictures[0]) == (8 if corrector == "none" else 16)


def test_any_method_may_read_the_frames_without_labels(tmp_path: Path) -> None:
    students = []
    for unlabelled in (False, True):
        config = values(tmp_path, method={"name": "kd"})
        del config["method"]["fit"], config["method"]["rounds"]
        config["data"]["semi"]["unlabelled"] = unlabelled
        students.append(train(config, tmp_path / str(unlabelled)))
        assert not (tmp_path / str(unlabelled) / "pseudo").exists()
    assert not same(*students)


def test_a_teacher_that_may_know_hidden_labels_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    teacher = values(tmp_path, method={"name": "baseline"})
    del teacher["method"]["fit"], teacher["method"]["rounds"], teacher["teacher"]
    train(teacher, tmp_path / "teacher")
    given = {"weights": str(tmp_path / "teacher" / "student.safetensors")}
    monkeypatch.setattr(Trainer, "fit", lambda *_: None)  # all is said before
    said: dict[str, list[str]] = {}
    for name, change in {
        "same": {},
        "more labels": {"labelled": 0.5},
        "others": {"seed": 1},
        "weak": {"weak": "none"},
    }.items():
        config = values(tmp_path, teacher=given, training={"steps": 2})
        config["data"]["semi"] |= change
        train(config, tmp_path / name, said.setdefault(name, []).append)
    train(values(tmp_path, training={"steps": 2}), tmp_path / "unknown", said.setdefault("unknown", []).append)
    doubted = {name for name, lines in said.items() if any("may give the hidden ones away" in line for line in lines)}
    assert doubted == {"more labels", "others", "unknown"}


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "all labelled": ({"data": {"semi": {"labelled": 1.0}}}, r"data\.semi\.labelled is 1\.0, lower it"),
    "no split": ({"data": {"semi": None}}, r"set data\.semi or data\.unlabelled"),
    "none labelled": ({"data": {"semi": {"labelled": 0.01}}}, r"semi\.labelled is 0\.01: none of 12 labelled frames"),
    "one student": ({"method": {"students": 1}}, r"method\.students is 1, and collaboration needs two or more"),
    "rounds": ({"training": {"steps": 1}}, r"method\.rounds is 2, training\.steps 1: each round needs a step"),
    "no teacher": ({"teacher": None}, r"'correction': .*there is no teacher: set teacher\.weights"),
    "no teacher for kd": ({"teacher": None, "method": {"corrector": "none"}}, r"none is configured: set teacher"),
    "role": ({"method": {"feature": "neck"}}, r"the teacher has no feature of role 'neck', it has: logits, "),
    "alike": ({"student": {"weights": "x"}}, r"student\.weights: x would start all students"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_is_refused_before_training(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changes, words = REFUSED[name]
    config = values(tmp_path)
    for key, change in changes.items():
        config[key] = {**config[key], **change} if change is not None else None
    monkeypatch.setattr("temporalkd.config.build.networks.load_weights", lambda *_: None)
    monkeypatch.setattr("temporalkd.config.build.networks.find", lambda path, kind: Path(path))
    with pytest.raises((ValueError, ConfigError), match=words) as error:
        train(config, tmp_path / "run")
    assert "\n" not in str(error.value) and not list((tmp_path / "run").rglob("*"))


def test_a_term_that_needs_a_partner_says_so() -> None:
    with pytest.raises(ValueError, match="term 'together': needs two students or more, there is 1"):
        Method(segmenter(), [*KD().losses(), WeightedLoss("together", Collaboration())], segmenter(seed=9))
