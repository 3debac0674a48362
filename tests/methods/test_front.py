"""Methods built around networks of one's own, in a loop of one's own."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from temporalkd import methods
from temporalkd.data.clip import IGNORE, as_clip
from temporalkd.experiments.api import train
from temporalkd.models import Segmenter
from tests.tiny import ROLES, Tiny

FRAMES = torch.rand(1, 3, 3, 32, 48, generator=torch.Generator().manual_seed(0))
LABELS = torch.randint(0, 4, (1, 32, 48), generator=torch.Generator().manual_seed(0))


def pair(**settings: Any) -> tuple[Segmenter, Segmenter]:
    return tuple(Segmenter(Tiny(4), 4, normalisation="none", **settings) for _ in range(2))  # type: ignore[return-value]


BUILDERS = [
    ("kd", {}), ("etc", {"flow": "zero"}), ("multilevel", {"flow": "zero"}), ("fckd", {}),
    ("stckd", {"flow": "zero", "branches": "cnn", "width": 4}), ("i2ckd", {}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "options"), BUILDERS, ids=[name for name, _ in BUILDERS])
def test_every_method_trains_the_student_alone(name: str, options: dict[str, Any]) -> None:
    student, teacher = pair(roles=ROLES)
    before = copy.deepcopy(teacher.state_dict())
    method = getattr(methods, name)(student, teacher, **options)
    assert list(method.terms) == [
        w.name for w in methods.METHODS[name](**{k: v for k, v in options.items() if k != "flow"}).losses() if w.weight
    ]
    method.prepare([(FRAMES, LABELS)])
    optimiser = torch.optim.Adam(method.parameters(), 1e-2)
    losses = []
    for _ in range(10):
        out = method.training_step(FRAMES, LABELS)
        out.loss.backward()
        optimiser.step()
        optimiser.zero_grad()
        method.after_step()
        losses.append(out.loss.item())
    assert losses[-1] < losses[0]
    assert all(value.ndim == 0 and not value.requires_grad for value in out.terms.values())
    assert all(torch.equal(before[key], value) for key, value in teacher.state_dict().items())
    assert all(p.grad is None for p in teacher.parameters())


def test_critic_learns_after_each_step_and_only_then() -> None:
    method = methods.stckd(*pair(), flow="zero", branches="cnn", width=4)
    critic = method.adversaries["adversarial"].critic
    before = [p.clone() for p in critic.parameters()]
    method.training_step(FRAMES[:, :2], LABELS).loss.backward()
    assert all(torch.equal(a, b) for a, b in zip(before, critic.parameters()))
    method.after_step()
    assert not all(torch.equal(a, b) for a, b in zip(before, critic.parameters()))
    after = [p.clone() for p in critic.parameters()]
    method.after_step()
    assert all(torch.equal(a, b) for a, b in zip(after, critic.parameters()))


def test_ramps_are_whole_without_steps_and_rise_with_them() -> None:
    method = methods.etc(*pair(), flow="zero", pixel=0, intra=0, inter=0, recurrent=0)
    at_start, middle, whole = (method.training_step(FRAMES, LABELS, *when) for when in ((0, 10), (9, 10), ()))
    torch.testing.assert_close(at_start.loss, at_start.terms["cross_entropy"])
    torch.testing.assert_close(middle.loss, whole.loss)
    torch.testing.assert_close(whole.loss.detach(), sum(whole.terms.values(), torch.zeros(())))
    with pytest.raises(ValueError, match="give both"):
        method.training_step(FRAMES, LABELS, step=3)


@pytest.mark.parametrize(("length", "anchor"), [(1, 0), (2, 0), (3, 1)])
def test_labels_belong_to_the_anchor(length: int, anchor: int) -> None:
    clip = as_clip(FRAMES[:, :length], LABELS)
    assert clip.anchor == anchor and torch.equal(clip.labels[:, anchor], LABELS)
    assert clip.labelled.sum() == 1 and (clip.labels != IGNORE).sum() == LABELS.numel()
    every = torch.full((1, length, 32, 48), IGNORE)
    every[:, anchor] = LABELS
    assert torch.equal(as_clip(FRAMES[:, :length], every).labels, clip.labels)


@pytest.mark.parametrize(
    ("frames", "labels", "message"),
    [
        (FRAMES[0], LABELS, r"frames: \(3, 3, 32, 48\), expected \(B, T, 3, H, W\).*frames\[:, None\]"),
        ((255 * FRAMES).byte(), LABELS, r"frames: torch\.uint8.*frames\.float\(\) / 255"),
        (FRAMES, LABELS[:, :-1], r"labels: \(1, 31, 48\).*anchor frame \(number 1\)"),
        (FRAMES[:, :2], LABELS, r"term 'recurrent_dependency' needs clips of 3 frames, these have 2"),
    ],
)
def test_mistakes_name_the_argument_and_the_remedy(frames: Tensor, labels: Tensor, message: str) -> None:
    method = methods.etc(*pair(), flow="zero")
    with pytest.raises(ValueError, match=message):
        method.training_step(frames, labels)


def test_mistakes_in_building() -> None:
    student, teacher = pair()
    with pytest.raises(ValueError, match=r"etc: no option 'moton', it has: .*motion"):
        methods.etc(student, teacher, flow="zero", moton=1)
    with pytest.raises(ValueError, match=r"teacher: a Tiny, expected tkd\.Segmenter"):
        methods.kd(student, Tiny(4))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"term 'low': .*role 'low'.*student.*roles="):
        methods.multilevel(student, teacher, flow="zero")


def test_unprepared_method_fits_on_its_first_batch_and_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    method = methods.etc(*pair(), flow="zero")
    method.training_step(FRAMES, LABELS)
    assert "first batch" in capsys.readouterr().err
    method.training_step(FRAMES, LABELS)
    assert not capsys.readouterr().err
    again = methods.etc(*pair(), flow="zero")
    again.load_state_dict(method.state_dict())
    again.training_step(FRAMES, LABELS)
    assert not capsys.readouterr().err


def test_self_training_wants_clips_with_hidden_labels(tmp_path: Path) -> None:
    student, teacher = pair()
    method = methods.selfcorrecting(student, teacher, feature="logits")
    assert len(method.students) == 1 and "collaboration" not in method.terms
    with pytest.raises(ValueError, match="clips: the method labels frames itself"):
        train(method, [(FRAMES, LABELS)], steps=2, out=tmp_path / "run", accelerator="cpu")
    with pytest.raises(ValueError, match=r"several students or self-training is run by tkd\.train"):
        method.training_step(FRAMES, LABELS)
