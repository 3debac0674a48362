"""A critic that tells the teacher's predictions from the student's, and the losses of both sides."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import ceil

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from temporalkd.losses.reduce import AllSum, check_mask, check_same, full_precision, keep, local_sum, masked_mean

LEAST_SIZE = 16
KEY_GRID = 16
"""Cells a side, at most, that the attention looks at: its memory grows with the pixels, not with their square."""

VIEWS = ("frame", "residual", "tuple")


def critic_channels(view: str, classes: int) -> int:
    """Channels of `coupled_input` of that view."""
    _check_view(view)
    return 2 * classes + 4 if view == "tuple" else classes


@full_precision
def coupled_input(probs: Tensor, warped: Tensor, visible: Tensor, image: Tensor, view: str = "tuple") -> Tensor:
    """What the critic sees of a network's prediction of two frames.

    "tuple": [p_t, V W(p_k), V, I_t]; "residual": V (p_t - W(p_k)); "frame": p_t alone.

    Shape:
        probs: (B, C, H, W), probabilities of frame t.
        warped: (B, C, H, W), those of its neighbour k, warped onto t.
        visible: (B, 1, H, W), bool; what W(p_k) is elsewhere is not shown.
        image: (B, 3, H, W), frame t in [0, 1], at the size of the prediction.
    Returns:
        (B, 2C + 4, H, W), or (B, C, H, W) of the residual and of the frame alone.
    Source:
        Wang et al., 2022 (STCKD): a GAN-structured framework that couples both consistencies [text]; the tuple [ours].
    """
    _check_view(view)
    check_same("coupled_input", probs, warped)
    check_mask("coupled_input", probs, visible)
    if image.shape != (probs.shape[0], 3, *probs.shape[2:]):
        shapes = f"the image is {tuple(image.shape)}, the prediction {tuple(probs.shape)}"
        raise ValueError(f"coupled_input: {shapes}; expected (B, 3, H, W) and (B, C, H, W)")
    if view == "frame":
        return probs
    if view == "residual":
        return keep(probs - warped, visible)
    return torch.cat([probs, keep(warped, visible), visible.to(probs.dtype), image.to(probs.dtype)], 1)


class SelfAttention(nn.Module):
    """Each pixel looks at a pooled grid of all others; starts as the identity.

    Source:
        Zhang et al., ICML 2019 (SAGAN); keys and values pooled as in its public code, to a grid of bounded size.
    """

    def __init__(self, channels: int, conv: Callable[[int, int, int], nn.Module]):
        super().__init__()
        narrow = max(channels // 8, 1)
        self.query, self.key = conv(channels, narrow, 1), conv(channels, narrow, 1)
        self.value, self.out = conv(channels, max(channels // 2, 1), 1), conv(max(channels // 2, 1), channels, 1)
        self.gain = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same shape."""
        cell = (ceil(x.shape[2] / KEY_GRID), ceil(x.shape[3] / KEY_GRID))
        pooled = F.avg_pool2d(x, cell, ceil_mode=True)
        query, key, value = self.query(x).flatten(2), self.key(pooled).flatten(2), self.value(pooled).flatten(2)
        attention = (query.mT @ key).softmax(-1)
        return x + self.gain * self.out((value @ attention.mT).unflatten(2, x.shape[2:]))


class Critic(nn.Module):
    """Scores patches of a prediction: high where it looks like the teacher's.

    Four convolutions of stride 2, self-attention after the third, no normalisation of activations. Runs in the
    precision of its weights also under autocast: adversarial games diverge in half precision.

    Args:
        channels: of the input, see `critic_channels`.
        width: channels after the first convolution; they double with each.
        spectral: divide every convolution's weight by its largest singular value; for the hinge losses. Off with
            `gradient_penalty`, which bounds the slope by itself: under both, the two work against each other.
    Source:
        Zhang et al., ICML 2019 (SAGAN), as used by Liu et al., CVPR 2019 (SKD, holistic) [code]; Miyato et al., ICLR
        2018 (spectral normalisation).
    """

    def __init__(self, channels: int, width: int = 64, spectral: bool = True):
        super().__init__()
        self.channels = channels

        def conv(inputs: int, outputs: int, kernel: int, stride: int = 1, padding: int = 0) -> nn.Module:
            layer = nn.Conv2d(inputs, outputs, kernel, stride, padding)
            return spectral_norm(layer) if spectral else layer

        def halve(inputs: int, outputs: int) -> nn.Module:
            return nn.Sequential(conv(inputs, outputs, 4, 2, 1), nn.LeakyReLU(0.1))

        self.shallow = nn.Sequential(halve(channels, width), halve(width, 2 * width), halve(2 * width, 4 * width))
        self.attention = SelfAttention(4 * width, conv)
        self.deep = nn.Sequential(halve(4 * width, 8 * width), conv(8 * width, 1, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, H, W), at least 16 x 16 -> scores (B, 1, H // 16, W // 16).

        Raises:
            ValueError: other channels, or a smaller input.
        """
        if x.ndim != 4 or x.shape[1] != self.channels or min(x.shape[2:]) < LEAST_SIZE:
            wanted = f"(B, {self.channels}, H, W) of {LEAST_SIZE} x {LEAST_SIZE} or more"
            raise ValueError(f"Critic: got {tuple(x.shape)}, expected {wanted}")
        with torch.autocast(x.device.type, enabled=False):
            return self.deep(self.attention(self.shallow(x.to(self.attention.gain.dtype))))


@contextmanager
def frozen(critic: nn.Module) -> Iterator[None]:
    """While the student is trained: gradients pass through the critic, none is gathered in it, its state stays."""
    trained, training = [p for p in critic.parameters() if p.requires_grad], critic.training
    for parameter in trained:
        parameter.requires_grad_(False)
    critic.eval()
    try:
        yield
    finally:
        critic.train(training)
        for parameter in trained:
            parameter.requires_grad_(True)


@full_precision
def hinge_generator(fake: Tensor, all_sum: AllSum = local_sum) -> Tensor:
    """The student's side, against a hinge critic and against a Wasserstein critic alike.

    L = -mean D(fake)

    Shape:
        fake: any, the critic's scores of the student.
    Source:
        Lim and Ye, 2017; Zhang et al., ICML 2019.
    """
    return -masked_mean(fake, all_sum=all_sum)


@full_precision
def hinge_critic(real: Tensor, fake: Tensor, all_sum: AllSum = local_sum) -> Tensor:
    """The critic's side: scores of the teacher above 1, of the student below -1.

    L = mean max(0, 1 - D(real)) + mean max(0, 1 + D(fake))

    Shape:
        real, fake: any, the critic's scores of the teacher and of the detached student.
    Source:
        Lim and Ye, 2017; Zhang et al., ICML 2019.
    """
    return masked_mean(F.relu(1 - real), all_sum=all_sum) + masked_mean(F.relu(1 + fake), all_sum=all_sum)


@full_precision
def wasserstein_critic(real: Tensor, fake: Tensor, all_sum: AllSum = local_sum) -> Tensor:
    """The critic's side in the Wasserstein distance; needs `gradient_penalty` beside it.

    L = mean D(fake) - mean D(real)

    Shape:
        real, fake: any, the critic's scores of the teacher and of the detached student.
    Source:
        Arjovsky et al., ICML 2017.
    """
    return masked_mean(fake, all_sum=all_sum) - masked_mean(real, all_sum=all_sum)


@full_precision
def gradient_penalty(
    real: Tensor,
    fake: Tensor,
    critic: Callable[[Tensor], Tensor],
    weight: float = 10.0,
    generator: torch.Generator | None = None,
    all_sum: AllSum = local_sum,
) -> Tensor:
    """Holds the critic's slope at 1 between teacher and student.

    L = weight mean_b (||grad_x D(x_b)||_2 - 1)^2, x_b = u_b real_b + (1 - u_b) fake_b, u_b uniform in [0, 1]

    with D(x) the mean score of an image's patches.

    Shape:
        real, fake: (B, channels, H, W), what the critic sees of the teacher and of the student; no gradient.
    Args:
        critic: without spectral or batch normalisation; under DDP the module inside the wrapper, whose own forward is
            for the scores: both share one backward, and the gradients are reduced all the same.
        weight: of the penalty.
        generator: where u is drawn from, on the inputs' device; None: the global one.
    Returns:
        Scalar, with a graph to the critic's parameters.
    Source:
        Gulrajani et al., NeurIPS 2017 (WGAN-GP).
    """
    check_same("gradient_penalty", real, fake)
    real, fake = real.detach(), fake.detach()
    u = torch.rand(real.shape[0], 1, 1, 1, dtype=real.dtype, device=real.device, generator=generator)
    between = torch.lerp(fake, real, u).requires_grad_()
    score = critic(between).flatten(1).mean(1).sum()
    (slope,) = torch.autograd.grad(score, between, create_graph=True)
    norm = torch.linalg.vector_norm(slope.flatten(1), dim=1)  # unlike sqrt of a sum, no NaN in the gradient at zero
    return weight * masked_mean((norm - 1).square(), all_sum=all_sum)


def _check_view(view: str) -> None:
    if view not in VIEWS:
        raise ValueError(f"coupled_input: view is {view!r}, expected one of {', '.join(VIEWS)}")
