"""A thin nn.Module beside each loss function: options in the constructor, tensors in the call."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, ClassVar

from torch import Tensor, nn

from temporalkd.losses.adversary import hinge_critic, hinge_generator, wasserstein_critic
from temporalkd.losses.affinity import inter_affinity, intra_affinity
from temporalkd.losses.attention import attention
from temporalkd.losses.channelwise import channel_kl
from temporalkd.losses.condensation import condensed_kl
from temporalkd.losses.correction import collaboration, soft_cross_entropy
from temporalkd.losses.decoupled import dkd
from temporalkd.losses.features import feature_cosine, feature_l2
from temporalkd.losses.pixelwise import pixel_kl, pixel_kl_to_probs
from temporalkd.losses.prototypes import intra_class_variation, prototype_triplet
from temporalkd.losses.recurrent import recurrent_dependency
from temporalkd.losses.relation import dist
from temporalkd.losses.supervised import cross_entropy
from temporalkd.losses.temporal import motion_consistency, semantic_consistency, teacher_residual


class LossModule(nn.Module):
    """A loss function whose options are held: `forward` takes its tensors, in the function's order or by name.

    A subclass names the function, `class PixelKL(LossModule, of=pixel_kl)`; all parameters that are no tensors are its
    options, and those called in `options` too. An option that is a tensor is a buffer, one that is a module a part.
    """

    function: ClassVar[Callable[..., Any]]
    options: ClassVar[tuple[str, ...]]

    def __init_subclass__(cls, of: Callable[..., Any], options: tuple[str, ...] = (), **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        parameters = inspect.signature(of).parameters
        cls.function = staticmethod(of)
        cls.options = tuple(n for n, p in parameters.items() if "Tensor" not in str(p.annotation) or n in options)
        held = [parameters[n].replace(kind=inspect.Parameter.KEYWORD_ONLY) for n in cls.options]
        cls.__signature__ = inspect.Signature(held)  # type: ignore[attr-defined]

    def __init__(self, **options: Any):
        super().__init__()
        try:
            bound = inspect.signature(type(self)).bind(**options)
        except TypeError as error:
            known = ", ".join(self.options) or "none"
            raise TypeError(f"{type(self).__name__}: {error}; its options: {known}") from None
        bound.apply_defaults()
        for name, value in bound.arguments.items():
            if isinstance(value, Tensor):
                self.register_buffer(name, value, persistent=False)
            else:
                setattr(self, name, value)

    def forward(self, *tensors: Any, **named: Any) -> Any:
        """The function's value; for the tensors and their shapes see the function."""
        return type(self).function(*tensors, **named, **{name: getattr(self, name) for name in self.options})

    def extra_repr(self) -> str:
        """The options, as they would be given."""
        held = {name: getattr(self, name) for name in self.options}
        return ", ".join(f"{n}={v!r}" for n, v in held.items() if not (isinstance(v, Tensor) or callable(v)))


class CrossEntropy(LossModule, of=cross_entropy, options=("class_weight",)):
    """`cross_entropy` as a module.

    >>> import torch
    >>> from temporalkd.losses import PixelKL
    >>> loss = CrossEntropy(class_weight=torch.ones(4))
    >>> loss(torch.zeros(1, 4, 8, 8), torch.zeros(1, 8, 8, dtype=torch.long)).item() == torch.tensor(4.0).log().item()
    True
    """


class SoftCrossEntropy(LossModule, of=soft_cross_entropy):
    """`soft_cross_entropy` as a module.

    >>> import torch
    >>> from temporalkd.losses import SoftCrossEntropy
    >>> SoftCrossEntropy()(torch.zeros(1, 4, 8, 8), torch.full((1, 4, 8, 8), 0.25)).ndim
    0
    """


class PixelKL(LossModule, of=pixel_kl):
    """`pixel_kl` as a module.

    >>> import torch
    >>> from temporalkd.losses import PixelKL
    >>> PixelKL(tau=2.0)
    PixelKL(tau=2.0, standardise=False)
    >>> z = torch.rand(1, 4, 8, 8)
    >>> PixelKL(tau=2.0)(z, z).item() < 1e-6
    True
    """


class PixelKLToProbs(LossModule, of=pixel_kl_to_probs):
    """`pixel_kl_to_probs` as a module.

    >>> import torch
    >>> from temporalkd.losses import PixelKLToProbs
    >>> z = torch.rand(1, 4, 8, 8)
    >>> PixelKLToProbs()(z, z.softmax(1)).item() < 1e-6
    True
    """


class DIST(LossModule, of=dist):
    """`dist` as a module.

    >>> import torch
    >>> from temporalkd.losses import DIST
    >>> z = torch.rand(1, 4, 8, 8)
    >>> abs(DIST(intra=2.0)(z, z).item()) < 1e-5
    True
    """


class FeatureL2(LossModule, of=feature_l2):
    """`feature_l2` as a module.

    >>> import torch
    >>> from temporalkd.losses import FeatureL2
    >>> f = torch.rand(1, 4, 8, 8)
    >>> FeatureL2()(f, f).item()
    0.0
    """


class FeatureCosine(LossModule, of=feature_cosine):
    """`feature_cosine` as a module.

    >>> import torch
    >>> from temporalkd.losses import FeatureCosine
    >>> f = torch.rand(1, 4, 8, 8)
    >>> abs(FeatureCosine()(3 * f, f).item()) < 1e-6
    True
    """


class ChannelKL(LossModule, of=channel_kl):
    """`channel_kl` as a module.

    >>> import torch
    >>> from temporalkd.losses import ChannelKL
    >>> z = torch.rand(1, 4, 8, 8)
    >>> ChannelKL(tau=4.0)(z, z).item() < 1e-6
    True
    """


class IntraAffinity(LossModule, of=intra_affinity):
    """`intra_affinity` as a module; the channel counts may differ.

    >>> import torch
    >>> from temporalkd.losses import IntraAffinity
    >>> IntraAffinity()(torch.rand(1, 4, 8, 8), torch.rand(1, 6, 8, 8)).item() > 0
    True
    """


class InterAffinity(LossModule, of=inter_affinity):
    """`inter_affinity` as a module.

    >>> import torch
    >>> from temporalkd.losses import InterAffinity
    >>> student_t, student_k, teacher_t, teacher_k = torch.rand(4, 1, 4, 8, 8)
    >>> InterAffinity(centre=True)(student_t, student_k, teacher_t, teacher_k).item() > 0
    True
    """


class RecurrentDependency(LossModule, of=recurrent_dependency):
    """`recurrent_dependency` as a module; its memory is a part, to be fitted on the teacher before.

    >>> import torch
    >>> from temporalkd.losses import AffinityMemory, RecurrentDependency
    >>> loss = RecurrentDependency(memory=AffinityMemory((2, 2)))
    >>> frames = list(torch.rand(3, 1, 4, 8, 8))
    >>> loss(frames, frames).item()
    0.0
    """


class Attention(LossModule, of=attention):
    """`attention` as a module; the channel counts may differ.

    >>> import torch
    >>> from temporalkd.losses import Attention
    >>> z = torch.rand(1, 4, 8, 8)
    >>> Attention()(z, z).item()
    0.0
    """


class DKD(LossModule, of=dkd):
    """`dkd` as a module.

    >>> import torch
    >>> from temporalkd.losses import DKD
    >>> z, labels = torch.rand(1, 4, 8, 8), torch.zeros(1, 8, 8, dtype=torch.long)
    >>> DKD(alpha=1.0, beta=2.0)(z, z, labels).abs().item() < 1e-6
    True
    """


class CondensedKLLoss(LossModule, of=condensed_kl):
    """`condensed_kl` as a module; the value is the sum of its parts.

    >>> import torch
    >>> from temporalkd.losses import CondensedKLLoss
    >>> z = torch.rand(1, 4, 8, 8)
    >>> CondensedKLLoss(tau=4.0)(z, z).item() < 1e-6
    True
    """

    def forward(self, *tensors: Any, **named: Any) -> Tensor:
        """The sum of the parts, a scalar."""
        return super().forward(*tensors, **named).total


class IntraClassVariation(LossModule, of=intra_class_variation):
    """`intra_class_variation` as a module.

    >>> import torch
    >>> from temporalkd.losses import IntraClassVariation
    >>> z, labels = torch.rand(1, 4, 8, 8), torch.zeros(1, 8, 8, dtype=torch.long)
    >>> IntraClassVariation(classes=2)(z, z, labels).item()
    0.0
    """


class PrototypeTriplet(LossModule, of=prototype_triplet):
    """`prototype_triplet` as a module.

    >>> import torch
    >>> from temporalkd.losses import PrototypeTriplet
    >>> z, labels = torch.rand(1, 4, 8, 8), torch.randint(0, 2, (1, 8, 8))
    >>> PrototypeTriplet(classes=2)(z, z, labels).ndim
    0
    """


class MotionConsistency(LossModule, of=motion_consistency):
    """`motion_consistency` as a module.

    >>> import torch
    >>> from temporalkd.losses import MotionConsistency
    >>> probs, flow = torch.rand(1, 4, 8, 8).softmax(1), torch.zeros(1, 2, 8, 8)
    >>> MotionConsistency()(probs, probs, flow, torch.ones(1, 1, 8, 8, dtype=torch.bool)).item() < 1e-6
    True
    """


class SemanticConsistency(LossModule, of=semantic_consistency):
    """`semantic_consistency` as a module.

    >>> import torch
    >>> from temporalkd.losses import SemanticConsistency
    >>> probs, flow = torch.rand(1, 4, 8, 8).softmax(1), torch.zeros(1, 2, 8, 8)
    >>> SemanticConsistency()(probs, probs, flow, torch.ones(1, 1, 8, 8, dtype=torch.bool)).item()
    0.0
    """


class TeacherResidual(LossModule, of=teacher_residual):
    """`teacher_residual` as a module.

    >>> import torch
    >>> from temporalkd.losses import TeacherResidual
    >>> probs, other = torch.rand(2, 1, 4, 8, 8).softmax(2)
    >>> flow, visible = torch.zeros(1, 2, 8, 8), torch.ones(1, 1, 8, 8, dtype=torch.bool)
    >>> TeacherResidual()(probs, other, probs, other, flow, visible).item()
    0.0
    """


class Collaboration(LossModule, of=collaboration):
    """`collaboration` as a module.

    >>> import torch
    >>> from temporalkd.losses import Collaboration
    >>> z = torch.rand(1, 4, 8, 8)
    >>> Collaboration(k=0)([z, z]).abs().item() < 1e-6
    True
    """


class HingeGenerator(LossModule, of=hinge_generator):
    """`hinge_generator` as a module.

    >>> import torch
    >>> from temporalkd.losses import HingeGenerator
    >>> HingeGenerator()(torch.full((1, 1, 2, 2), 3.0)).item()
    -3.0
    """


class HingeCritic(LossModule, of=hinge_critic):
    """`hinge_critic` as a module.

    >>> import torch
    >>> from temporalkd.losses import HingeCritic
    >>> HingeCritic()(torch.ones(1, 1, 2, 2), -torch.ones(1, 1, 2, 2)).item()
    0.0
    """


class WassersteinCritic(LossModule, of=wasserstein_critic):
    """`wasserstein_critic` as a module.

    >>> import torch
    >>> from temporalkd.losses import WassersteinCritic
    >>> WassersteinCritic()(torch.ones(1, 1, 2, 2), torch.zeros(1, 1, 2, 2)).item()
    -1.0
    """
