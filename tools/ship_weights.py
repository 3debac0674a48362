"""Put a trained student into the package: `python tools/ship_weights.py WEIGHTS NAME`.

Matrices and kernels become float16, vectors (biases, batch statistics) stay float32. temporalkd/pretrained/README.md is
the card of all of them.
"""

from __future__ import annotations

from pathlib import Path

import typer

from temporalkd.cli import main
from temporalkd.models import load_segmenter, save_segmenter
from temporalkd.paths import PRETRAINED


def ship(weights: Path, name: str) -> None:
    """Write temporalkd/pretrained/NAME.safetensors and .json."""
    segmenter, spec = load_segmenter(weights)
    for module in segmenter.network.modules():
        for key, parameter in module.named_parameters(recurse=False):
            if parameter.ndim > 1:
                setattr(module, key, type(parameter)(parameter.detach().half()))
    path = PRETRAINED / f"{name}.safetensors"
    save_segmenter(segmenter, spec, path, {})
    print(f"wrote {path}, {path.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main(lambda: typer.run(ship))
