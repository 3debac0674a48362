"""The json beside weights, which says of which network they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from temporalkd.models.build import ModelSpec
from temporalkd.models.segmenter import Normalisation

MAX_CLASSES = 255
"""What a class map of 8 bits can tell, ignored pixels aside."""


def read_spec(path: Path) -> ModelSpec:
    """The description of a network beside its weights.

    Besides our own form it reads one with the encoder's name among the top-level keys and one mean and std a channel.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no {path}: a json that says which network the weights are for must lie beside them")
    try:
        card = json.loads(path.read_text())
        normalisation = card.get("normalisation", {})
        arguments = dict(card.get("arguments", {}))
        if "encoder_name" in card:
            arguments["encoder_name"] = card["encoder_name"]
        for key in ("mean", "std"):
            if key in normalisation and len(normalisation[key]) != 3:
                raise ValueError(f"normalisation.{key} is {normalisation[key]}, expected one number a channel")
        classes = int(card["classes"])
        if not 1 <= classes <= MAX_CLASSES:
            raise ValueError(f"classes is {classes}, expected 1 to {MAX_CLASSES}")
        return ModelSpec(
            architecture=str(card["architecture"]),
            classes=classes,
            arguments=arguments,
            normalisation=Normalisation(
                mean=tuple(normalisation.get("mean", Normalisation.mean)),
                std=tuple(normalisation.get("std", Normalisation.std)),
                divisor=int(normalisation.get("divisor", Normalisation.divisor)),
            ),
            roles={role: _texts(names) for role, names in card.get("roles", {}).items()},
            class_names=tuple(_texts(list(card.get("class_names", ())))),
            palette=tuple(_colour(colour) for colour in card.get("palette", ())),
            trained_size=_size(card.get("trained_size")),
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"{path} does not describe a network: {type(error).__name__} {error}") from error


def _texts(names: Any) -> Any:
    """A name, or a list of them, as it stands."""
    for name in [names] if isinstance(names, str) else names:
        if not isinstance(name, str):
            raise ValueError(f"{name!r} is not a name")
    return names


def _size(size: Any) -> tuple[int, int] | None:
    if size is None:
        return None
    height, width = size
    if not all(type(side) is int and side > 0 for side in size):
        raise ValueError(f"trained_size: {size} is not a size, expected [height, width]")
    return height, width


def _colour(colour: Any) -> tuple[int, int, int]:
    red, green, blue = colour
    if not all(type(part) is int and 0 <= part <= 255 for part in colour):
        raise ValueError(f"palette: {colour} is not a colour, expected r, g, b of 0 to 255")
    return red, green, blue
