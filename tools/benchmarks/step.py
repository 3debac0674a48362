"""A step of temporal distillation, against what no method can avoid; and where its time goes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F

from benchmarks.result import Result, rates
from temporalkd.data.clip import IGNORE, Clip, collate
from temporalkd.data.sampler import ClipSampler
from temporalkd.data.street import Street
from temporalkd.methods import TERMS, DistillationContext, Method, WeightedLoss
from temporalkd.models import ModelSpec, Segmenter, StoredTeacher, Teacher, build, load_segmenter, to_store
from temporalkd.paths import find

SIZE = (360, 480)
CLASSES = 11
TEMPORAL = ("motion_consistency", "inter_affinity", "semantic_consistency")
STUDENT: dict[str, Any] = {
    "encoder_name": "tu-tf_efficientnet_lite0",
    "decoder_pyramid_channels": 128,
    "decoder_segmentation_channels": 64,
}
TEACHER = {"encoder_name": "tu-tf_efficientnet_lite2"}


def step(repeats: int = 9) -> Iterator[Result]:
    """Steps a second, two frames of 360x480 with known motion; then the share of each part."""
    clip, teacher = _clip(), _teacher()
    plain = _method(teacher)
    optimiser = _optimiser(plain)

    def unavoidable() -> float:
        student, t = plain.student, clip.anchor
        optimiser.zero_grad()
        logits = student(clip.frames[0]).logits
        loss = F.cross_entropy(logits[t, None], clip.labels[:, t], ignore_index=IGNORE)
        loss.backward()
        optimiser.step()
        with torch.no_grad():
            teacher(clip.frames[0])
        return float(loss.detach())

    expected = unavoidable()
    known = replace(
        clip,
        targets=to_store(teacher)(clip.frames[0]).log()[None],
        target_valid=clip.valid[..., :1, :1].expand(*clip.valid.shape[:3], 1, 1),
    )
    for taught, seen, how in (
        (teacher, clip, ""),
        (StoredTeacher(teacher), known, ", the teacher's predictions stored"),
    ):
        method = _method(taught)
        temporal = _temporal(method, seen)
        off = abs(temporal() - expected)
        if off > 1e-4:
            raise AssertionError(f"the cross-entropy of the first step differs by {off}")
        fast, slow = rates(temporal, unavoidable, 1, repeats)
        yield Result(
            what=f"a step with {', '.join(TEMPORAL)}{how}; against student, cross-entropy, optimiser and teacher",
            unit="steps/s",
            ours=fast,
            reference=slow,
            ratio=fast / slow,
            agreement=f"x {slow / fast:.2f} the time; the same cross-entropy within {max(off, 1e-7):.0e}",
        )
    method = _method(teacher)
    found = [_parts(method, clip, _optimiser(method)) for _ in range(repeats)]
    parts = min(found, key=lambda seconds: sum(seconds.values()))
    for name, seconds in parts.items():
        share = f"{100 * seconds / sum(parts.values()):.1f} % of the step"
        yield Result(f"of it: {name}", "s", seconds, None, None, agreement=share)


def _temporal(method: Method, clip: Clip) -> Callable[[], float]:
    """A step of training; gives its cross-entropy."""
    optimiser = _optimiser(method)

    def step() -> float:
        optimiser.zero_grad()
        losses = method.losses(method.context(clip, progress=1.0))
        torch.stack(list(losses.values())).sum().backward()
        optimiser.step()
        return float(losses["cross_entropy"].detach())

    return step


def _optimiser(method: Method) -> torch.optim.Optimizer:
    return torch.optim.AdamW(method.trainable_modules.parameters(), 1e-4)


def _parts(method: Method, clip: Clip, optimiser: torch.optim.Optimizer) -> dict[str, float]:
    """Seconds of each part of a context."""
    found: dict[str, float] = {}

    def timed(name: str, job: Callable[[], Any]) -> Any:
        started = time.perf_counter()
        result = job()
        found[name] = time.perf_counter() - started
        return result

    optimiser.zero_grad()
    made: DistillationContext = method.context(clip, progress=1.0)
    timed("teacher, forward", made.ask_teacher)
    timed("student, forward", lambda: made.predict(method.student))
    size = made.student.native(0).shape[-2:]
    timed("motion at the native stride", lambda: [list(made.along(t, size)) for t in range(2)])
    losses = {name: timed(f"{name}, forward", partial(w.term, made)) for name, w in method.terms.items()}
    timed("backward of all", lambda: torch.stack(list(losses.values())).sum().backward())
    timed("optimiser", optimiser.step)
    return found


def _method(teacher: Teacher) -> Method:
    torch.manual_seed(0)
    student = build(ModelSpec("segmentation_models_pytorch.FPN", CLASSES, STUDENT))
    terms = [WeightedLoss(name, TERMS[name]()) for name in ("cross_entropy", *TEMPORAL)]
    method = Method(student, terms, teacher, frames=2)
    method.trainable_modules.train()
    student.network.apply(_without_dropout)
    return method


def _without_dropout(module: torch.nn.Module) -> None:
    """So that two students that start alike stay alike."""
    if isinstance(module, torch.nn.Dropout | torch.nn.Dropout2d):
        module.p = 0.0


def _clip() -> Clip:
    return collate([ClipSampler([Street(0, 8, SIZE)], frames=2, seed=0)[0]])


def _teacher() -> Segmenter:
    """The CamVid teacher, or an untrained network like it: it takes as long."""
    try:
        return load_segmenter(find("camvid_fpn_lite2.safetensors", "weights"))[0].eval()
    except FileNotFoundError:
        return build(ModelSpec("segmentation_models_pytorch.FPN", CLASSES, TEACHER)).eval()
