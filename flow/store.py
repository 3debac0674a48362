"""Store: a folder of small tensor files that is safe to share, limited in size, and believed only where it is whole."""

from __future__ import annotations

import hashlib
import os
import time
import warnings
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from .atomic import write_whole

try:
    import fcntl
except ImportError:  # Windows: processes that miss the same entry all compute it
    fcntl = None  # type: ignore[assignment]

PATTERN = "[0-9a-f][0-9a-f]/*.flow"
"""Only files of this form are ever read, counted or deleted, whatever else lies in the folder."""

LEFTOVER_SECONDS = 3600.0
CLAIM_SECONDS = 60.0


Expected = Mapping[str, tuple[Sequence[int | None], torch.dtype]]
"""Name -> shape, in which None is any size, and dtype."""


class Store:
    """Tensors on disk, found again by an identity: any text that says what they were computed from.

    Safe for several processes on one folder: files appear whole or not at all. When the folder outgrows its limit,
    the files that were not used for longest go. Each writing process looks at the whole folder once per
    twentieth of the limit written, so the limit may be passed by that much per process for a while.

    Args:
        folder: created when missing.
        limit: bytes.
        name: in messages.
    Attributes:
        unwritten: entries that could not be kept, by this object.
    Raises:
        ValueError: a limit below 1.
        NotADirectoryError: the folder is a file.
    """

    def __init__(self, folder: str | os.PathLike[str], limit: int, name: str = "flow cache") -> None:
        self.name = name
        if limit < 1:
            raise ValueError(f"{self.name}: limit is {limit} bytes, expected at least 1")
        self.folder = Path(folder)
        if self.folder.exists() and not self.folder.is_dir():
            raise NotADirectoryError(f"{self.name}: {self.folder} is a file, expected a folder")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            warnings.warn(f"{self.name}: {self.folder} cannot be made, going on without: {error}", stacklevel=3)
        self.limit = limit
        self.unwritten = 0
        self._written = 0
        self._allowance = 0  # bytes that may be written before the next look at the folder

    def load(self, identity: str, expected: Expected) -> dict[str, Tensor]:
        """What of the expected was saved under this identity.

        Empty where there is nothing, or nothing that can be believed.
        """
        path = self._path(identity)
        try:
            with safe_open(path, framework="pt") as file:
                # The key is in the file too: one that was copied under another name is not taken for its flow.
                known = file.metadata() or {}
                if known.get("key") != _key(path):
                    raise ValueError("it holds something else")
                names = file.keys()
                tensors = {name: file.get_tensor(name) for name in expected if name in names}
            for name, tensor in tensors.items():
                shape, dtype = expected[name]
                if not _fits(tensor.shape, shape) or tensor.dtype != dtype:
                    raise ValueError(f"it holds {tensor.dtype} {tuple(tensor.shape)}")
                if known.get(name) != _checksum(tensor):
                    raise ValueError("wrong checksum" if name in known else "it has no checksum")
        except FileNotFoundError:
            return {}
        except (SafetensorError, OSError, ValueError, RuntimeError) as error:
            if not path.exists():  # another process tidied up between looking and reading
                return {}
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            warnings.warn(f"{self.name}: {path} is not usable and is computed again: {reason}", stacklevel=2)
            return {}
        with suppress(OSError):
            os.utime(path)  # marks it as just used
        return tensors

    def save(self, identity: str, tensors: Mapping[str, Tensor]) -> None:
        """Keep tensors in place of what there was; a folder that cannot be written costs a warning."""
        path = self._path(identity)
        whole = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
        content = save(whole, {name: _checksum(tensor) for name, tensor in whole.items()} | {"key": _key(path)})
        try:
            write_whole(path, content)
        except OSError as error:
            reason = OSError(error.errno, error.strerror) if error.strerror else error  # the file is named already
            self.unwritten += 1
            warnings.warn(f"{self.name}: {path} could not be written, going on without: {reason}", stacklevel=2)
            return
        self._written += len(content)
        if self._written > self._allowance:
            self._tidy()

    @contextmanager
    def claim(self, identity: str) -> Iterator[None]:
        """Within it no other process computes this entry; look for it again first, one may just have done so.

        Not to be nested. What is locked is the entry's folder, so that nothing is left behind: the system lets go of it
        when a process dies. After CLAIM_SECONDS, or where folders cannot be locked, one goes on without: an entry that
        is computed twice is only slower.
        """
        folder = self._path(identity).parent
        held: int | None = None
        with suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            held = os.open(folder, os.O_RDONLY)
            _lock(held, time.monotonic() + CLAIM_SECONDS)
        try:
            yield
        finally:
            if held is not None:
                os.close(held)

    def _path(self, identity: str) -> Path:
        key = hashlib.sha256(identity.encode()).hexdigest()
        return self.folder / key[:2] / f"{key[2:]}.flow"

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


def _lock(folder: int, until: float) -> None:
    """Lock an open folder, until it is closed; waits no longer than to that time."""
    while fcntl is not None:
        with suppress(BlockingIOError):
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        if time.monotonic() > until:
            break
        time.sleep(0.005)


def _checksum(tensor: Tensor) -> str:
    """Of the values, which safetensors knows none of."""
    return f"{zlib.crc32(tensor.flatten().view(torch.uint8).numpy().data):08x}"


def _fits(found: Sequence[int], expected: Sequence[int | None]) -> bool:
    return len(found) == len(expected) and all(e in (None, f) for f, e in zip(found, expected))


def _key(path: Path) -> str:
    return path.parent.name + path.stem
