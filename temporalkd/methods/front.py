"""Published methods around networks of one's own: each function gives a Method, for `tkd.train` or any loop."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import flow as optical_flow
from flow import FlowEstimator
from temporalkd.methods.baseline import baseline as baseline_terms
from temporalkd.methods.etc import etc as etc_terms
from temporalkd.methods.fckd import fckd as fckd_terms
from temporalkd.methods.i2ckd import i2ckd as i2ckd_terms
from temporalkd.methods.kd import kd as kd_terms
from temporalkd.methods.method import Method, WeightedLoss
from temporalkd.methods.multilevel import multilevel as multilevel_terms
from temporalkd.methods.stckd import stckd as stckd_terms
from temporalkd.models import Segmenter, Teacher

Flow = FlowEstimator | str | None
"""An estimator, the name of one (see `flow.build`), or None: clips that carry their own motion."""


def baseline(student: Segmenter, **options: Any) -> Method:
    """Cross-entropy alone: what every gain is measured against.

    Args:
        student: the network to train.
        options: of `temporalkd.methods.baseline.baseline`: class_weight.

    >>> import torch
    >>> import temporalkd as tkd
    >>> student = tkd.Segmenter(torch.nn.Conv2d(3, 4, 1), classes=4, normalisation="none")
    >>> method = tkd.methods.baseline(student)
    >>> method.training_step(torch.rand(1, 1, 3, 8, 8), torch.full((1, 8, 8), 255)).loss.item()
    0.0
    """
    return _method(baseline_terms, student, None, None, options)


def kd(student: Segmenter, teacher: Teacher, **options: Any) -> Method:
    """Cross-entropy and the teacher's prediction of every pixel. Source: Hinton et al., 2015.

    Args:
        student, teacher: the teacher is frozen here.
        options: of `temporalkd.methods.kd.kd`: class_weight, pixel (weight of the KL), tau (temperature).

    See `Method.training_step` for an example.
    """
    return _method(kd_terms, student, teacher, None, options)


def etc(student: Segmenter, teacher: Teacher, flow: Flow = "raft_small", **options: Any) -> Method:
    """ETC: single-frame, pair-wise and multi-frame dependency, and consistency along the motion.

    Args:
        student, teacher: the teacher is frozen here.
        flow: needed for clips that carry no motion of their own.
        options: of `temporalkd.methods.etc.etc`: weights (pixel, intra, inter, recurrent, motion; 0 leaves a term out),
            neighbours, feature, inter_feature, photometric, stop_gradient, class_weight.
    Raises:
        ValueError: unknown options; the class counts differ; a network lacks the feature ("head"; "logits" always is).
        FileNotFoundError: no weights of the flow network; it says where they were looked for.
    Source:
        Liu, Shen, Yu, Wang, ECCV 2020.

    >>> import torch
    >>> import temporalkd as tkd
    >>> network = lambda: torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3, 4, 1), torch.nn.Conv2d(8, 4, 1))
    >>> student, teacher = (tkd.Segmenter(network(), classes=4, normalisation="none") for _ in range(2))
    >>> method = tkd.methods.etc(student, teacher, flow="dis")
    >>> frames, labels = torch.rand(1, 3, 3, 32, 48), torch.zeros(1, 32, 48, dtype=torch.long)
    >>> method.prepare([(frames, labels)])
    >>> out = method.training_step(frames, labels)
    >>> out.loss.backward()
    >>> list(out.terms)[3:]
    ['inter_affinity', 'recurrent_dependency', 'motion_consistency']
    """
    return _method(etc_terms, student, teacher, flow, options)


def multilevel(student: Segmenter, teacher: Teacher, flow: Flow = "raft_small", **options: Any) -> Method:
    """Low, middle and high level knowledge, and consistency along the motion.

    Needs the features "low" and "fused", which networks of segmentation_models_pytorch and torchvision have by name.

    Args:
        student, teacher, flow: as for `etc`.
        options: of `temporalkd.methods.multilevel.multilevel`.
    Source:
        Ling et al., CIMS 2023.

    >>> import torch
    >>> import temporalkd as tkd
    >>> roles = {"low": ["0", "1"], "fused": "1"}
    >>> network = lambda: torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3, 4, 1), torch.nn.Conv2d(8, 4, 1))
    >>> student, teacher = (tkd.Segmenter(network(), 4, roles, normalisation="none") for _ in range(2))
    >>> list(tkd.methods.multilevel(student, teacher, flow="dis").terms)
    ['cross_entropy', 'low', 'middle', 'pixel_kl', 'high', 'consistency']
    """
    return _method(multilevel_terms, student, teacher, flow, options)


def stckd(student: Segmenter, teacher: Teacher, flow: Flow = "raft_small", **options: Any) -> Method:
    """Spatial and temporal consistency coupled by a critic; call `method.after_step()` after the optimiser's context.

    Args:
        student, teacher, flow: as for `etc`; the teacher may be a JointTeacher of two networks. With one network,
            branches="cnn".
        options: of `temporalkd.methods.stckd.stckd`.
    Source:
        Wang, Yuan, Zhou, Wang, 2022.

    >>> import torch
    >>> import temporalkd as tkd
    >>> network = lambda: torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3, 2, 1), torch.nn.Conv2d(8, 4, 1))
    >>> student, teacher = (tkd.Segmenter(network(), classes=4, normalisation="none") for _ in range(2))
    >>> method = tkd.methods.stckd(student, teacher, flow="dis", branches="cnn", width=4)
    >>> method.training_step(torch.rand(1, 2, 3, 32, 48), torch.zeros(1, 32, 48, dtype=torch.long)).loss.backward()
    >>> method.after_step()
    """
    return _method(stckd_terms, student, teacher, flow, options)


def fckd(student: Segmenter, teacher: Teacher, flow: Flow = None, **options: Any) -> Method:
    """Feature condensation: the teacher's entropy tells knowledge from noise.

    Args:
        student, teacher: as for `etc`.
        flow: needed with temporal=True alone.
        options: of `temporalkd.methods.fckd.fckd`.

    >>> import torch
    >>> import temporalkd as tkd
    >>> student, teacher = (tkd.Segmenter(torch.nn.Conv2d(3, 4, 1), 4, normalisation="none") for _ in range(2))
    >>> list(tkd.methods.fckd(student, teacher).terms)
    ['cross_entropy', 'condensation']
    """
    return _method(fckd_terms, student, teacher, flow, options)


def i2ckd(student: Segmenter, teacher: Teacher, flow: Flow = None, **options: Any) -> Method:
    """Intra- and inter-class distillation by the classes' prototypes.

    Args:
        student, teacher: as for `etc`.
        flow: needed with clip=True alone.
        options: of `temporalkd.methods.i2ckd.i2ckd`.
    Source:
        Karine, Napoleon, Jridi, 2024.

    >>> import torch
    >>> import temporalkd as tkd
    >>> student, teacher = (tkd.Segmenter(torch.nn.Conv2d(3, 4, 1), 4, normalisation="none") for _ in range(2))
    >>> list(tkd.methods.i2ckd(student, teacher, feature="logits").terms)
    ['cross_entropy', 'pixel_kl', 'prototype_triplet']
    """
    return _method(i2ckd_terms, student, teacher, flow, options)


def _method(
    terms: Callable[..., list[WeightedLoss]],
    student: Segmenter,
    teacher: Teacher | None,
    flow: Flow,
    options: dict[str, Any],
) -> Method:
    known = inspect.signature(terms).parameters
    if unknown := [key for key in options if key not in known]:
        raise ValueError(f"{terms.__name__}: no option {unknown[0]!r}, it has: {', '.join(known)}")
    for name, network in (("student", student), ("teacher", teacher)):
        if network is not None and not hasattr(network, "classes"):
            raise ValueError(
                f"{name}: a {type(network).__name__}, expected tkd.Segmenter(network, classes=..., normalisation=...)"
            )
    weighted = terms(**options)
    frames = max((w.term.frames for w in weighted if w.weight), default=1)
    if isinstance(flow, str):
        flow = optical_flow.build(flow) if frames > 1 else None  # a single frame has no motion
    return Method(student, weighted, teacher, flow, frames).to(student.mean.device)
