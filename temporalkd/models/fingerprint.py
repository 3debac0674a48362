"""What tells a network from another one: its modules, its settings and its weights."""

from __future__ import annotations

import hashlib

from torch import nn


def fingerprint(network: nn.Module) -> str:
    """64 hexadecimal digits: equal only where the printed network and all tensors of its state are."""
    digest = hashlib.blake2b(repr(network).encode(), digest_size=32)
    for key, tensor in network.state_dict().items():
        digest.update(f"{key} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
