"""FlowCache: flow that has been computed once is read from disk afterwards."""

from __future__ import annotations

import hashlib
import os
import time
import warnings
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from .estimator import FlowEstimator, as_frames
from .files import write_whole

PATTERN = "[0-9a-f][0-9a-f]/*.flow"
"""Only files of this form are ever read, counted or deleted, whatever else lies in the folder."""

LEFTOVER_SECONDS = 3600.0


class FlowCache:
    """A folder of flow fields, found again by what they were computed from.

    The key is the estimator's fingerprint, the content of both frames as 8-bit values, and their size: renaming files
    or changing the order of a data set loses nothing, other weights never meet old flow. Fields are kept as float16,
    and a miss returns the rounded values as well, so that a run does not depend on what was cached before it.

    Safe for several processes on one folder: files appear whole or not at all. When the folder outgrows its limit,
    the files that were not used for longest go. Each writing process looks at the whole folder once per
    twentieth of the limit written, so the limit may be passed by that much per process for a while.

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
        if limit < 1:
            raise ValueError(f"flow cache: limit is {limit} bytes, expected at least 1")
        self.folder = Path(folder)
        if self.folder.exists() and not self.folder.is_dir():
            raise NotADirectoryError(f"flow cache: {self.folder} is a file, expected a folder")
        self.folder.mkdir(parents=True, exist_ok=True)
        self.limit = limit
        self.hits = 0
        self.misses = 0
        self._written = 0
        self._allowance = 0  # bytes that may be written before the next look at the folder

    def flow(self, estimator: FlowEstimator, source: Tensor, target: Tensor) -> Tensor:
        """Flow source -> target, from disk or computed; entries of a batch are looked up one by one.

        Shape:
            source, target: (B, 3, H, W), in [0, 1].
        Returns:
            (B, 2, H, W), float32 with float16 precision, on the source's device.
        """
        if source.shape != target.shape:
            raise ValueError(f"flow: source is {tuple(source.shape)} but target is {tuple(target.shape)}")
        pairs = zip(as_frames(source).split(1), as_frames(target).split(1))
        return torch.cat([self._between(estimator, _Frame(estimator, a), _Frame(estimator, b)) for a, b in pairs])

    def both(self, estimator: FlowEstimator, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        """Flow a -> b and b -> a; see `flow`."""
        return self.flow(estimator, a, b), self.flow(estimator, b, a)

    def video(self, estimator: FlowEstimator, frames: Iterable[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        """As `FlowEstimator.video`, from disk where it can: a frame is encoded only if a flow of it is missing."""
        previous = None
        for number, item in enumerate(frames):
            current = _Frame(estimator, as_frames(item))
            if previous is not None:
                if previous.pixels.shape != current.pixels.shape:
                    now, before = tuple(current.pixels.shape), tuple(previous.pixels.shape)
                    raise ValueError(f"flow: frame {number} is {now}, the ones before are {before}")
                yield self._between(estimator, previous, current), self._between(estimator, current, previous)
            previous = current

    def _between(self, estimator: FlowEstimator, source: _Frame, target: _Frame) -> Tensor:
        height, width = source.pixels.shape[-2:]
        path = self._path(f"{estimator.fingerprint} {source.digest} {target.digest} {height}x{width}")
        field = self._load(path, (source.pixels.shape[0], 2, height, width))
        if field is None:
            self.misses += 1
            with torch.no_grad():
                field = estimator.match(source.encoded, target.encoded).half()
            self._store(path, field)
        else:
            self.hits += 1
        return field.to(source.pixels.device).float()

    def _path(self, identity: str) -> Path:
        key = hashlib.sha256(identity.encode()).hexdigest()
        return self.folder / key[:2] / f"{key[2:]}.flow"

    def _load(self, path: Path, shape: tuple[int, ...]) -> Tensor | None:
        try:
            with safe_open(path, framework="pt") as file:
                # The key is in the file too: one that was copied under another name is not taken for its flow.
                if (file.metadata() or {}).get("key") != _key(path):
                    raise ValueError("it holds something else")
                field = file.get_tensor("flow")
            if tuple(field.shape) != shape or field.dtype != torch.float16:
                raise ValueError(f"it holds {field.dtype} {tuple(field.shape)}")
        except FileNotFoundError:
            return None
        except (SafetensorError, OSError, ValueError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            warnings.warn(f"flow cache: {path} is not usable and is computed again: {reason}", stacklevel=2)
            return None
        with suppress(OSError):
            os.utime(path)  # marks it as just used
        return field

    def _store(self, path: Path, field: Tensor) -> None:
        content = save({"flow": field.cpu().contiguous()}, metadata={"key": _key(path)})
        try:
            write_whole(path, content)
        except OSError as error:
            warnings.warn(f"flow cache: {path} could not be written, going on without: {error}", stacklevel=2)
            return
        self._written += len(content)
        if self._written > self._allowance:
            self._tidy()

    def _tidy(self) -> None:
        """Delete the files that were not used for longest until the rest fits, and what killed processes left."""
        entries = []
        for path in self.folder.glob(PATTERN):
            with suppress(OSError):
                status = path.stat()
                entries.append((status.st_mtime_ns, status.st_size, path))
        for path in self.folder.glob("[0-9a-f][0-9a-f]/.*.part"):
            with suppress(OSError):
                if time.time() - path.stat().st_mtime > LEFTOVER_SECONDS:
                    path.unlink()
        total = sum(size for _, size, _ in entries)
        for _, size, path in sorted(entries):
            if total <= self.limit:
                break
            with suppress(OSError):
                path.unlink()
                total -= size
        self._written = 0
        self._allowance = min(max(self.limit - total, 0), self.limit // 20)


class _Frame:
    """A frame on its way through the cache: its digest, and its encoding if that is ever asked for."""

    def __init__(self, estimator: FlowEstimator, pixels: Tensor) -> None:
        self.estimator = estimator
        self.pixels = pixels

    @cached_property
    def digest(self) -> str:
        values = (self.pixels * 255).round().clamp(0, 255).byte().cpu().contiguous()
        return hashlib.blake2b(values.numpy().tobytes(), digest_size=32).hexdigest()

    @cached_property
    def encoded(self) -> Any:
        with torch.no_grad():
            return self.estimator.encode(self.pixels)


def _key(path: Path) -> str:
    return path.parent.name + path.stem
