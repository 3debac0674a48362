"""The json beside weights, which says of which network they are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from temporalkd.models.build import ModelSpec
from temporalkd.paths import read_json


def read_spec(path: Path) -> ModelSpec:
    """The description of a network beside its weights; the encoder's name may stand among the top-level keys.

    Raises:
        FileNotFoundError, ValueError: there is none, or it does not describe a network; names the file and the key.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no {path}: a json that says which network the weights are for must lie beside them")
    values = read_json(path)
    try:
        spec = TypeAdapter(ModelSpec).validate_python(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise ValueError(f"{path} does not describe a network: {key}: {first['msg']}") from None
    encoder = {"encoder_name": values["encoder_name"]} if "encoder_name" in values else {}
    return replace(spec, arguments=spec.arguments | encoder)
