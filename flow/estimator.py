"""The contract of every flow estimator."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn


class FlowEstimator(nn.Module):
    """A frozen source of optical flow: always in eval, never trained, never in a graph.

    A subclass writes two methods: `encode` does what depends on one frame alone, `match` turns two encodings into a
    flow. `forward`, `between` and `video` follow, so a frame of a video is encoded once although it takes part in four
    flows. It may write a third, `both`, where two directions share work; each must stay what `match` gives alone.

    Attributes:
        name: the kind it was built as, "raft_small" for example.
        fingerprint: hash of architecture, weights and settings; two estimators with one fingerprint give one flow.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.fingerprint = ""

    def freeze(self, settings: Mapping[str, Any]) -> None:
        """Last line of a subclass's constructor: no gradients, eval mode, and the fingerprint of what is inside."""
        self.requires_grad_(False)
        self.train(False)
        digest = hashlib.sha256(repr((self.name, sorted(settings.items()))).encode())
        for key, tensor in self.state_dict().items():
            digest.update(f"{key} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.cpu().contiguous().numpy().tobytes())
        self.fingerprint = f"{self.name}-{digest.hexdigest()[:16]}"

    def train(self, mode: bool = True) -> FlowEstimator:
        """Stays in eval, whatever a surrounding module is switched to."""
        return super().train(False)

    def encode(self, frames: Tensor) -> Any:
        """What `match` needs of frames (B, 3, H, W) in [0, 1], float32."""
        raise TypeError(f"{type(self).__name__} has no encode method")

    def match(self, source: Any, target: Any) -> Tensor:
        """Flow (B, 2, H, W), float32, pixels, from one encoding to another."""
        raise TypeError(f"{type(self).__name__} has no match method")

    def both(self, source: Any, target: Any) -> tuple[Tensor, Tensor]:
        """Flow from one encoding to another and back: two matches, or the same fields with less work."""
        return self.match(source, target), self.match(target, source)

    @torch.no_grad()
    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """Flow source -> target.

        Shape:
            source, target: (B, 3, H, W), floating point, in [0, 1], any H and W.
        Returns:
            (B, 2, H, W), float32, pixels, without a graph.
        Raises:
            ValueError: shapes, dtype or value range that are not frames'.
        """
        if source.shape != target.shape:
            raise ValueError(f"flow: source is {tuple(source.shape)} but target is {tuple(target.shape)}")
        return self.match(self.encode(as_frames(source)), self.encode(as_frames(target)))

    @torch.no_grad()
    def between(self, frames: Sequence[Tensor], pairs: Iterable[tuple[int, int]]) -> list[tuple[Tensor, Tensor]]:
        """Flow of some pairs of frames, there and back.

        Shape:
            frames: items (B, 3, H, W), all of one size, in [0, 1].
        Args:
            pairs: which frames, by position.
        Returns:
            For each pair (a, b): (a -> b, b -> a), each (B, 2, H, W).
        Raises:
            ValueError: a frame that is none, or of another size than one it is paired with.
        """
        encoded: dict[int, Any] = {}
        found = []
        for pair in pairs:
            a, b = (frames[t].shape for t in pair)
            if a != b:
                raise ValueError(f"flow: frame {pair[0]} is {tuple(a)} but frame {pair[1]} is {tuple(b)}")
            for t in pair:
                if t not in encoded:
                    encoded[t] = self.encode(as_frames(frames[t]))
            found.append(self.both(*(encoded[t] for t in pair)))
        return found

    @torch.no_grad()
    def video(self, frames: Iterable[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        """Flow between consecutive frames, both ways, holding two frames at a time.

        Shape:
            frames: items (1, 3, H, W), all of one size, in [0, 1].
        Returns:
            Iterator of (t -> t+1, t+1 -> t), each (1, 2, H, W): one item fewer than there are frames.
        Raises:
            ValueError: a frame that is none, or of another size than the one before it.
        """
        previous, shape = None, None
        for number, frame in enumerate(frames):
            if shape is not None and frame.shape != shape:
                raise ValueError(f"flow: frame {number} is {tuple(frame.shape)}, the ones before are {tuple(shape)}")
            current, shape = self.encode(as_frames(frame)), frame.shape
            if previous is not None:
                yield self.both(previous, current)
            previous = current


ESTIMATORS: dict[str, Callable[..., FlowEstimator]] = {}
"""What makes an estimator, by name."""
T = TypeVar("T", bound=Callable[..., FlowEstimator])


def register(name: str) -> Callable[[T], T]:
    """Decorator of a FlowEstimator, or of a function that makes one: `build(name)` calls it with its settings."""

    def registered(maker: T) -> T:
        ESTIMATORS[name] = maker
        return maker

    return registered


@register("zero")
class ZeroFlow(FlowEstimator):
    """Says that nothing moves: the baseline that tells what motion compensation is worth."""

    def __init__(self) -> None:
        super().__init__("zero")
        self.freeze({})

    def encode(self, frames: Tensor) -> Tensor:
        return frames

    def match(self, source: Tensor, target: Tensor) -> Tensor:
        return source.new_zeros(source.shape[0], 2, *source.shape[2:])


def as_frames(frames: Tensor) -> Tensor:
    """Check that a tensor holds frames (B, 3, H, W) in [0, 1], and give them as float32."""
    if frames.ndim != 4 or frames.shape[1] != 3 or 0 in frames.shape or not frames.is_floating_point():
        raise ValueError(
            f"flow: frames are {frames.dtype} {tuple(frames.shape)}, expected floating point (B, 3, H, W) in [0, 1]"
        )
    # On an accelerator, looking at the values would stall the queue.
    if frames.device.type == "cpu" and not -0.5 <= frames.min().item() <= frames.max().item() <= 1.5:
        low, high = frames.min().item(), frames.max().item()
        raise ValueError(f"flow: frames hold values {low:g}..{high:g}, expected [0, 1]")
    return frames.as_subclass(Tensor).detach().float()


def padding_to(size: tuple[int, int] | torch.Size, multiple: int, minimum: int) -> tuple[int, int, int, int]:
    """Left, right, top, bottom padding up to a minimum and a multiple, the frame in the middle."""
    height, width = size
    missing_x = max(minimum, -(-width // multiple) * multiple) - width
    missing_y = max(minimum, -(-height // multiple) * multiple) - height
    return missing_x // 2, missing_x - missing_x // 2, missing_y // 2, missing_y - missing_y // 2


def cropped(field: Tensor, padding: tuple[int, int, int, int]) -> Tensor:
    """Undo `padding_to` on a field (B, 2, H, W)."""
    left, right, top, bottom = padding
    return field[..., top : field.shape[-2] - bottom, left : field.shape[-1] - right].contiguous()


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The known word that is closest, as a question; empty where none is close."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
