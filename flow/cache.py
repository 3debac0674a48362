"""FlowCache: flow that has been computed once is read from disk afterwards."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .estimator import FlowEstimator, as_frames
from .store import Store
from .warp import visible

_VISIBLE = "visible 1"
"""Of the flow beside it; another number where flow.visible decides otherwise."""


@dataclass(frozen=True)
class LazyFrame:
    """A frame that is decoded only when flow has to be computed from it.

    Args:
        identity: of what it is decoded from: equal only where the pixels are.
        size: (H, W).
        load: gives the frame, (1, 3, H, W) in [0, 1].
    """

    identity: str
    size: tuple[int, int]
    load: Callable[[], Tensor]


class FlowCache:
    """A folder of flow fields, found again by what they were computed from.

    The key is the estimator's fingerprint, the content of both frames as 8-bit values, and their size: renaming files
    or changing the order of a data set loses nothing, other weights never meet old flow. Fields are kept as float16,
    and a miss returns the rounded values as well, so that a run does not depend on what was cached before it.
    Several processes may share the folder, see Store.

    Args:
        folder: created when missing.
        limit: bytes.
    Attributes:
        hits, misses: single fields served from disk and computed, by this object.
    Raises:
        ValueError: a limit below 1.
        NotADirectoryError: the folder is a file.
    """

    def __init__(self, folder: str | os.PathLike[str], limit: int = 20 * 2**30) -> None:
        self.store = Store(folder, limit)
        self.folder = self.store.folder
        self.hits = 0
        self.misses = 0

    def flow(self, estimator: FlowEstimator, source: Tensor, target: Tensor) -> Tensor:
        """Flow source -> target, from disk or computed; entries of a batch are looked up one by one.

        Shape:
            source, target: (B, 3, H, W), in [0, 1].
        Returns:
            (B, 2, H, W), float32 with float16 precision, on the source's device.
        """
        return torch.cat([self._between(a, b) for a, b in self._entries(estimator, source, target)])

    def both(self, estimator: FlowEstimator, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        """Flow a -> b and b -> a; see `flow`. Where both are missing they are computed together."""
        there, back = zip(*(self._both(*pair) for pair in self._entries(estimator, a, b)))
        return torch.cat(there), torch.cat(back)

    def video(self, estimator: FlowEstimator, frames: Iterable[Tensor | LazyFrame]) -> Iterator[tuple[Tensor, Tensor]]:
        """As `FlowEstimator.video`, from disk where it can: a frame is encoded only if a flow of it is missing."""
        for a, b in self._consecutive(estimator, frames):
            yield self._both(a, b)

    def motion(self, estimator: FlowEstimator, frames: Iterable[Tensor | LazyFrame]) -> Iterator[tuple[Tensor, Tensor]]:
        """Flow between consecutive frames, and what of the first is visible in the second.

        Where both are on disk, no frame is decoded and no backward flow is read.

        Returns:
            Iterator of (t -> t+1 (1, 2, H, W), visible (1, 1, H, W) bool).
        """
        for a, b in self._consecutive(estimator, frames):
            height, width = a.size
            expected = _field(a) | {_VISIBLE: ((-(-height * width // 8),), torch.uint8)}
            kept = self.store.load(self._identity(a, b), expected)
            if len(kept) == len(expected):
                self.hits += 1
                bits = np.unpackbits(kept[_VISIBLE].numpy(), count=height * width).view(np.bool_)
                yield kept["flow"].to(a.device).float(), torch.from_numpy(bits).view(1, 1, height, width)
                continue
            forward, backward = self._both(a, b)
            seen = visible(forward, backward).cpu()
            packed = torch.from_numpy(np.packbits(seen.numpy().ravel()))
            self.store.save(self._identity(a, b), {"flow": forward.half(), _VISIBLE: packed})
            yield forward, seen

    def _frame(self, estimator: FlowEstimator, item: Tensor | LazyFrame) -> _Frame:
        return _Frame(estimator, self.store, item)

    def _entries(self, estimator: FlowEstimator, source: Tensor, target: Tensor) -> Iterator[tuple[_Frame, _Frame]]:
        if source.shape != target.shape:
            raise ValueError(f"flow: source is {tuple(source.shape)} but target is {tuple(target.shape)}")
        for a, b in zip(as_frames(source).split(1), as_frames(target).split(1)):
            yield self._frame(estimator, a), self._frame(estimator, b)

    def _consecutive(
        self, estimator: FlowEstimator, frames: Iterable[Tensor | LazyFrame]
    ) -> Iterator[tuple[_Frame, _Frame]]:
        previous = None
        for number, item in enumerate(frames):
            current = self._frame(estimator, item)
            if previous is not None:
                if previous.size != current.size:
                    raise ValueError(f"flow: frame {number} is {current.size}, the ones before are {previous.size}")
                yield previous, current
            previous = current

    def _between(self, source: _Frame, target: _Frame) -> Tensor:
        kept = self._kept(source, target)
        if kept is not None:
            return kept
        with self.store.claim(self._identity(source, target)):
            kept = self._kept(source, target)
            if kept is not None:
                return kept
            with torch.no_grad():
                return self._keep(source, target, source.estimator.match(source.encoded, target.encoded))

    def _both(self, a: _Frame, b: _Frame) -> tuple[Tensor, Tensor]:
        there, back = self._kept(a, b), self._kept(b, a)
        if there is None and back is None:
            with self.store.claim(min(self._identity(a, b), self._identity(b, a))):
                there, back = self._kept(a, b), self._kept(b, a)
                if there is None and back is None:
                    with torch.no_grad():
                        fields = a.estimator.both(a.encoded, b.encoded)
                    return self._keep(a, b, fields[0]), self._keep(b, a, fields[1])
        there = self._between(a, b) if there is None else there
        return there, self._between(b, a) if back is None else back

    def _kept(self, source: _Frame, target: _Frame) -> Tensor | None:
        """The flow on disk, or None."""
        found = self.store.load(self._identity(source, target), _field(source))
        if not found:
            return None
        self.hits += 1
        return found["flow"].to(source.device).float()

    def _keep(self, source: _Frame, target: _Frame, field: Tensor) -> Tensor:
        """The flow as it will be read again."""
        self.misses += 1
        rounded = field.half()
        self.store.save(self._identity(source, target), {"flow": rounded})
        return rounded.to(source.device).float()

    def _identity(self, source: _Frame, target: _Frame) -> str:
        height, width = source.size
        return f"{source.estimator.fingerprint} {source.digest} {target.digest} {height}x{width}"


class _Frame:
    """A frame on its way through the cache: its digest, and its encoding if that is ever asked for."""

    def __init__(self, estimator: FlowEstimator, store: Store, item: Tensor | LazyFrame) -> None:
        self.estimator, self.store, self.item = estimator, store, item
        self.lazy = item if isinstance(item, LazyFrame) else None
        self.size = self.lazy.size if self.lazy else tuple(self.pixels.shape[-2:])

    @cached_property
    def pixels(self) -> Tensor:
        return as_frames(self.item.load() if isinstance(self.item, LazyFrame) else self.item)

    @property
    def device(self) -> torch.device:
        return torch.device("cpu") if self.lazy else self.pixels.device

    @cached_property
    def digest(self) -> str:
        """Of the content as 8-bit values, whatever file it came from; what identifies the file is a way to that."""
        if self.lazy is None:
            return self._digest_of_pixels()
        identity = f"pixels of {self.lazy.identity}"
        kept = self.store.load(identity, {"digest": ((32,), torch.uint8)})
        if kept:
            return bytes(kept["digest"].numpy()).hex()
        digest = self._digest_of_pixels()
        self.store.save(identity, {"digest": torch.frombuffer(bytearray.fromhex(digest), dtype=torch.uint8)})
        return digest

    def _digest_of_pixels(self) -> str:
        values = (self.pixels * 255).round().clamp(0, 255).byte().cpu().contiguous()
        return hashlib.blake2b(values.numpy().tobytes(), digest_size=32).hexdigest()

    @cached_property
    def encoded(self) -> Any:
        with torch.no_grad():
            return self.estimator.encode(self.pixels)


def _field(source: _Frame) -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
    return {"flow": ((1, 2, *source.size), torch.float16)}
