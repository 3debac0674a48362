"""Networks by name: segmentation-models-pytorch, torchvision, transformers, or a callable of the user's own."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import Field
from torch import nn

from temporalkd.models.known import Roles, known_roles, smp_roles, torchvision_roles
from temporalkd.models.segmenter import Normalisation, Segmenter
from temporalkd.options import Size
from temporalkd.plugins import imported

SMP = "segmentation_models_pytorch."
TORCHVISION = "torchvision."
TRANSFORMERS = "transformers."
MAX_CLASSES = 255
"""What a class map of 8 bits can tell, ignored pixels aside."""
_Level = Annotated[int, Field(ge=0, le=255)]


@dataclass(frozen=True)
class ModelSpec:
    """All that is needed to build a network again; what the json beside the weights holds, checked when that is read.

    architecture: "segmentation_models_pytorch.FPN", "torchvision.lraspp_mobilenet_v3_large",
        "transformers.SegformerForSemanticSegmentation", or "package.module:name".
    arguments: passed to it by name. Weights are never among them: a network is built empty and then filled.
    roles: role -> module names; empty for the library's own (see Segmenter).
    trained_size: (H, W) of the frames that it was trained on, whole, before crops and scaling; None: not known.
    """

    architecture: str
    classes: Annotated[int, Field(ge=1, le=MAX_CLASSES)]
    arguments: dict[str, Any] = field(default_factory=dict)
    normalisation: Normalisation = field(default_factory=Normalisation)
    roles: dict[str, str | list[str]] = field(default_factory=dict)
    class_names: tuple[str, ...] = ()
    palette: tuple[tuple[_Level, _Level, _Level], ...] = ()
    trained_size: Size | None = None


def build(spec: ModelSpec) -> Segmenter:
    """An untrained network.

    Raises:
        ValueError: unknown architecture or argument, which names the nearest.
    """
    network, roles, settings = _network(spec)
    if not isinstance(network, Segmenter):
        network = Segmenter(network, spec.classes, {**roles, **spec.roles}, spec.normalisation, **settings)
    network.spec = spec
    return network


def _network(spec: ModelSpec) -> tuple[nn.Module, Roles, dict[str, Any]]:
    """The network, its roles, and further arguments of the Segmenter around it."""
    if ":" in spec.architecture:
        return _call(imported(spec.architecture), spec, {"classes": spec.classes}), {}, {}
    if spec.architecture.startswith(SMP):
        return *_smp(spec), {}
    if spec.architecture.startswith(TORCHVISION):
        return *_torchvision(spec), {}
    if spec.architecture.startswith(TRANSFORMERS):
        return _transformers(spec)
    raise ValueError(
        f"unknown architecture {spec.architecture!r}, expected {SMP}NAME, {TORCHVISION}NAME, {TRANSFORMERS}NAME or "
        "package.module:name"
    )


def _smp(spec: ModelSpec) -> tuple[nn.Module, Roles]:
    import segmentation_models_pytorch as smp

    name = spec.architecture.removeprefix(SMP)
    known = {cls.__name__: cls for cls in smp.MODEL_ARCHITECTURES_MAPPING.values()}
    if name not in known:
        raise ValueError(f"segmentation_models_pytorch has no {name!r}{_nearest(name, known)}")
    _refuse_to_fetch(spec)
    network = _call(known[name], spec, {"encoder_weights": None, "classes": spec.classes})
    return network, smp_roles(network)


def _refuse_to_fetch(spec: ModelSpec) -> None:
    """timm takes encoders "hf-hub:..." and "local-dir:...", and arguments that name files to load or addresses."""
    encoder = spec.arguments.get("encoder_name", "")
    if ":" in str(encoder) or "/" in str(encoder):
        raise ValueError(f"encoder_name: {encoder!r}, expected the name of an encoder: networks are not fetched")
    for key in spec.arguments:
        if key.startswith("pretrained") or key in ("checkpoint_path", "cache_dir"):
            raise ValueError(f"{spec.architecture}: {key!r} is not an argument: say encoder_weights or weights")


def _torchvision(spec: ModelSpec) -> tuple[nn.Module, Roles]:
    from torchvision import models

    name = spec.architecture.removeprefix(TORCHVISION)
    known = models.list_models(module=models.segmentation)
    if name not in known:
        raise ValueError(f"torchvision has no segmentation network {name!r}{_nearest(name, known)}")
    fixed = {"weights": None, "weights_backbone": None, "num_classes": spec.classes}
    network = _call(models.get_model_builder(name), spec, fixed)
    return network, torchvision_roles(network)


def _transformers(spec: ModelSpec) -> tuple[nn.Module, Roles, dict[str, Any]]:
    from temporalkd.models.hugging_face import of_transformers

    name = spec.architecture.removeprefix(TRANSFORMERS)
    try:
        network, settings = of_transformers(name, spec.classes, spec.arguments)
    except (TypeError, KeyError, AttributeError, AssertionError) as error:
        raise ValueError(f"{spec.architecture}({spec.arguments}): {error}") from error
    return network, known_roles(network, spec.classes), settings


def _call(builder: Callable[..., Any], spec: ModelSpec, fixed: dict[str, Any]) -> Any:
    parameters = inspect.signature(builder).parameters
    open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    for key in spec.arguments:
        if key in fixed:
            raise ValueError(f"{spec.architecture}: {key!r} is not an argument: it is set by the config's own keys")
        # A library that takes any keyword, for its encoders, takes a slip of the pen too.
        if key not in parameters and (not open_ended or difflib.get_close_matches(key, parameters, cutoff=0.8)):
            raise ValueError(f"{spec.architecture} has no argument {key!r}{_nearest(key, parameters)}")
    try:
        return builder(**fixed, **spec.arguments)
    except (TypeError, ValueError, KeyError, RuntimeError, AssertionError) as error:
        raise ValueError(f"{spec.architecture}({spec.arguments}): {error}") from error


def _nearest(name: str, known: Any) -> str:
    near = difflib.get_close_matches(name, list(known), n=3, cutoff=0.4)
    return f", did you mean {' or '.join(near)}?" if near else f", expected one of {', '.join(list(known)[:40])}"
