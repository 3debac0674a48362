"""A teacher whose logits are kept on disk, for frames that come again as they were."""

from __future__ import annotations

import hashlib
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from flow.store import Store
from temporalkd.models.segmenter import Prediction, Segmenter

NATIVE = "native"


class CachedTeacher(nn.Module):
    """A frozen network's native logits, exact, computed once for each frame that it is ever shown.

    The key is the network's weights and roles, the frame's values and the precision. Each frame is computed alone, so
    that what is kept does not depend on what stood beside it. There are no features: of a role "logits" alone.

    Args:
        network: frozen, in eval mode.
        store: may be shared by processes.
    Attributes:
        hits, misses: frames from disk and computed, by this object.
    """

    def __init__(self, network: Segmenter, store: Store) -> None:
        super().__init__()
        self.network, self.store = network, store
        self.classes, self.channels = network.classes, {"logits": [network.classes]}
        self.hits = self.misses = 0

    @property
    def mean(self) -> Tensor:
        """Where it runs can be read from it, as from a Segmenter's."""
        return self.network.mean

    def forward(self, frames: Tensor) -> Prediction:
        """(N, 3, H, W) float RGB in [0, 1] -> Prediction; its `logits` are the native ones, bilinear at (H, W)."""
        native = torch.cat([self._of(frame) for frame in frames.split(1)])
        logits = F.interpolate(native, frames.shape[-2:], mode="bilinear", align_corners=False)
        return Prediction(logits, native, native)

    def _of(self, frame: Tensor) -> Tensor:
        identity = self._identity(frame)
        expected = {NATIVE: ((1, self.classes, None, None), torch.float32)}
        kept = self.store.load(identity, expected)
        self.hits += bool(kept)
        if not kept:
            self.misses += 1
            with torch.no_grad():
                kept = {NATIVE: self.network(frame).native.float().contiguous()}
            self.store.save(identity, kept)
        return kept[NATIVE].to(frame.device)

    def _identity(self, frame: Tensor) -> str:
        values = hashlib.blake2b(_bytes(frame), digest_size=32).hexdigest()
        kind = frame.device.type
        precision = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else frame.dtype
        return f"teacher {self._fingerprint} {values} {tuple(frame.shape)} {precision}"

    @cached_property
    def _fingerprint(self) -> str:
        network = self.network
        made_of = network.network, network.roles, network.normalisation, network.outputs, network.input_size
        digest = hashlib.blake2b(repr(made_of).encode(), digest_size=32)
        for key, tensor in network.state_dict().items():
            digest.update(f"{key} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(_bytes(tensor))
        return digest.hexdigest()


def _bytes(tensor: Tensor) -> bytes:
    return tensor.detach().cpu().contiguous().numpy().tobytes()
