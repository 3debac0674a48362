"""Class prototypes: means by hand, what is absent, and the batch of several processes."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor

from temporalkd.losses import class_prototypes, intra_class_variation, prototype_distances, prototype_triplet
from temporalkd.training.distributed import all_sum
from tests.processes import together

CLASSES = 4
Loss = Callable[..., Tensor]
LOSSES: dict[str, Loss] = {
    "variation": intra_class_variation,
    "triplet": partial(prototype_triplet, minimum=1),
    "teacher anchor": partial(prototype_triplet, minimum=1, anchor="teacher"),
    "hardest": partial(prototype_triplet, minimum=1, hardest=True),
    "per image": partial(prototype_triplet, minimum=1, scope="image"),
    "intra": partial(prototype_triplet, minimum=1, part="intra"),
    "inter": partial(prototype_triplet, minimum=1, part="inter"),
}
each_loss = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES.keys())


def features(channels: int = 6, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(2, channels, 5, 6, dtype=dtype, requires_grad=True)


def some_labels() -> Tensor:
    labels = torch.randint(0, CLASSES, (2, 5, 6))
    labels[0, :2] = 255
    return labels


def row(*vectors: tuple[float, ...]) -> Tensor:
    """(1, C, 1, N), one pixel a vector."""
    return torch.tensor(vectors, dtype=torch.float32).T[None, :, None].contiguous()


@pytest.mark.parametrize("scope", ["batch", "image"])
def test_means_against_a_loop(scope: Any) -> None:
    f, labels = features(), some_labels()
    labels[1][labels[1] == 2] = 0
    centres, present = class_prototypes(f, labels, CLASSES, minimum=4, scope=scope)
    groups = [(f, labels)] if scope == "batch" else [(f[b : b + 1], labels[b : b + 1]) for b in range(2)]
    assert centres.shape == (len(groups), CLASSES, 6)
    for g, (maps, classes) in enumerate(groups):
        for k in range(CLASSES):
            own = maps.movedim(1, -1)[classes == k]
            assert present[g, k].item() == (len(own) >= 4)
            expected = own.mean(0) if len(own) >= 4 else torch.zeros(6)
            torch.testing.assert_close(centres[g, k], expected)


def test_labels_by_nearest_and_out_of_range() -> None:
    f, labels = features(), some_labels()
    finer = labels.repeat_interleave(4, 1).repeat_interleave(4, 2)
    finer = torch.where(finer == 255, 77, finer)
    expected, present = class_prototypes(f, labels, CLASSES, scope="image")
    got, got_present = class_prototypes(f, finer, CLASSES, scope="image")
    assert torch.equal(got, expected) and torch.equal(got_present, present)


def test_variation_by_hand() -> None:
    # One class: the student's two pixels are orthogonal, each at 45 degrees to the mean; the teacher's are parallel.
    student, teacher = row((1, 0), (0, 1)), row((1, 0, 0), (2, 0, 0))
    labels = torch.zeros(1, 1, 2, dtype=torch.long)
    assert intra_class_variation(student, teacher, labels, 1).item() == pytest.approx((1 - 0.5**0.5) ** 2, rel=1e-5)
    assert intra_class_variation(student, student * 3, labels, 1).item() == pytest.approx(0, abs=1e-10)


def test_triplet_by_hand() -> None:
    # Unit prototypes: student (1, 0) and (0, 1); teacher (0.8, 0.6) and (0, 1). Class 2 is absent.
    student, teacher = row((2, 0), (0, 3)), row((4, 3), (0, 1))
    labels = torch.tensor([[[0, 1]]])
    call = partial(prototype_triplet, student, teacher, labels, 3, minimum=1)
    d00, d01, d10 = 0.4**0.5, 2**0.5, 0.8**0.5  # |S0 - T0|, |S0 - T1|, |S1 - T0|; |S1 - T1| = 0
    assert call(margin=1.0).item() == pytest.approx(((d00 - d01 + 1) + (0 - d10 + 1)) / 2, rel=1e-5)
    assert call(margin=1.5, anchor="teacher").item() == pytest.approx(((d00 - d10 + 1.5) + (1.5 - d01)) / 2, rel=1e-5)
    assert call().item() == 0, "both hinges are at rest at the margin 0.3"
    assert call(part="intra").item() == pytest.approx(d00 / 2, rel=1e-5)
    assert call(part="inter", margin=1.0).item() == call(margin=1.0).item()
    distances = prototype_distances(student, teacher, labels, 3, minimum=1)
    assert [d.item() for d in distances] == pytest.approx([d00 / 2, d01, 0.8**0.5], rel=1e-5)


def test_hardest_takes_the_nearest_negative() -> None:
    student = row((1, 0), (0, 1), (-1, 0))
    labels = torch.tensor([[[0, 1, 2]]])
    value = prototype_triplet(student, student, labels, 5, margin=3, minimum=1, hardest=True)
    assert value.item() == pytest.approx(3 - 2**0.5, rel=1e-5)
    mean = prototype_triplet(student, student, labels, 5, margin=3, minimum=1)
    assert mean.item() == pytest.approx(3 - (4 * 2**0.5 + 2 * 2) / 6, rel=1e-5)


def test_equal_prototypes_and_classes_that_are_missing() -> None:
    student = torch.ones(1, 3, 4, 4, requires_grad=True)
    labels = torch.zeros(1, 4, 4, dtype=torch.long)
    for part in ("both", "inter", "intra"):
        loss = prototype_triplet(student, student.detach(), labels, CLASSES, part=part)  # type: ignore[arg-type]
        assert loss.item() == 0, "one class has no negative, and no distance to itself"
        (gradient,) = torch.autograd.grad(loss, student)
        assert gradient.abs().max() == 0, "zero, not NaN, at distance zero"
    assert prototype_triplet(student, -student.detach(), labels, CLASSES, part="intra").item() == pytest.approx(2)
    assert [d.item() for d in prototype_distances(student, student, labels, CLASSES)] == [0, 0, 0]
    assert intra_class_variation(student * 0, student, labels, 1).item() == pytest.approx(1)


@each_loss
def test_unlabelled_pixels_and_the_teacher_have_no_gradient(loss: Loss) -> None:
    student, teacher, labels = features().detach(), features(), some_labels()
    expected = loss(student, teacher, labels, CLASSES).item()
    student[0, :, :2] = float("nan")
    student.requires_grad_()
    value = loss(student, teacher, labels, CLASSES)
    value.backward()
    assert value.item() == expected > 0 and teacher.grad is None and student.grad is not None
    assert student.grad[0, :, :2].abs().max() == 0 < student.grad[0, :, 2:].abs().max()


@each_loss
def test_nothing_labelled_gives_zero_with_a_graph(loss: Loss) -> None:
    student = features()
    value = loss(student, features(), torch.full((2, 5, 6), 255), CLASSES)
    value.backward()
    assert value.item() == 0 and student.grad is not None and student.grad.abs().max() == 0


@pytest.mark.parametrize("name", sorted(LOSSES.keys() - {"inter"}))  # a part of that is held fixed: see the two halves
def test_gradcheck(name: str) -> None:
    teacher, labels = features(2, torch.float64), some_labels()
    assert torch.autograd.gradcheck(lambda s: LOSSES[name](s, teacher, labels, CLASSES), features(2, torch.float64))


@each_loss
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_and_channels_last(loss: Loss, dtype: torch.dtype) -> None:
    student, teacher, labels = features().to(dtype).detach(), features().to(dtype).detach(), some_labels()
    expected = loss(student.float(), teacher.float(), labels, CLASSES)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        last = (f.to(memory_format=torch.channels_last) for f in (student, teacher))
        value = loss(*last, labels, CLASSES)
    assert value.dtype == torch.float32 and value.item() == pytest.approx(expected.item(), rel=1e-5)


def test_mistakes_are_named() -> None:
    labels, wide = torch.zeros(1, 2, 2, dtype=torch.long), torch.zeros(1, 5, 2, 2)
    with pytest.raises(ValueError, match=r"\(1, 4, 2, 2\) and \(1, 5, 2, 2\)"):
        prototype_triplet(torch.zeros(1, 4, 2, 2), wide, labels, 3)
    with pytest.raises(ValueError, match=r"\(1, 5, 2, 3\) and \(1, 5, 2, 2\)"):
        intra_class_variation(torch.zeros(1, 5, 2, 3), wide, labels, 3)
    with pytest.raises(ValueError, match=r"\(1, 2, 2\) for \(2, 5, 2, 2\)"):
        class_prototypes(wide.expand(2, -1, -1, -1), labels, 3)
    with pytest.raises(ValueError, match="scope must be one of batch, image, got 'clip'"):
        class_prototypes(wide, labels, 3, scope="clip")  # type: ignore[arg-type]


def whole_batch() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Student, teacher and labels of which each process has one image (labelled unequally), and a trained scale."""
    generator = torch.Generator().manual_seed(0)
    student, teacher = torch.randn(2, 2, 3, 5, 6, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, 3, (2, 5, 6), generator=generator)
    labels[0, :3], labels[0][labels[0] == 2] = 255, 1
    return student, teacher, labels, torch.ones(3, 1, 1, dtype=torch.float64, requires_grad=True)


def values_and_gradients(part: slice) -> dict[str, Tensor]:
    student, teacher, labels, scale = whole_batch()
    results = {}
    for name, loss in LOSSES.items():
        value = loss(scale * student[part], teacher[part], labels[part], CLASSES, all_sum=all_sum)
        results[name] = torch.cat([value.detach()[None], torch.autograd.grad(value, scale)[0].flatten()])
    distances = prototype_distances(student[part], teacher[part], labels[part], CLASSES, all_sum=all_sum)
    return results | {"distances": torch.stack(distances)}


def in_process(folder: Path) -> None:
    dist.init_process_group("gloo")
    rank = dist.get_rank()
    results = values_and_gradients(slice(rank, rank + 1))
    for tensor in results.values():
        dist.all_reduce(tensor)
    if rank == 0:
        averaged = {name: (tensor / 2).tolist() for name, tensor in results.items()}  # what DDP does to gradients
        (folder / "results.json").write_text(json.dumps(averaged))
    dist.destroy_process_group()


def test_two_processes_equal_one_with_the_whole_batch(tmp_path: Path) -> None:
    together(in_process, tmp_path)
    results = json.loads((tmp_path / "results.json").read_text())
    for name, expected in values_and_gradients(slice(None)).items():
        assert results[name] == pytest.approx(expected.tolist(), rel=1e-9, abs=1e-14), name
