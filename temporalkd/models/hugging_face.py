"""Networks of transformers, from a folder or the local cache of the Hugging Face Hub."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from torch import nn

from temporalkd.models.build import TRANSFORMERS, ModelSpec, build
from temporalkd.models.encoders import Encoder
from temporalkd.models.known import image_processor_statistics
from temporalkd.models.normalisation import Given, Normalisation, resolve
from temporalkd.models.segmenter import Segmenter
from temporalkd.models.universal import MaskClassifier

MASKS = (
    "EomtForUniversalSegmentation",
    "EomtDinov3ForUniversalSegmentation",
    "Mask2FormerForUniversalSegmentation",
    "MaskFormerForInstanceSegmentation",
)
"""Networks of mask queries; see MaskClassifier."""
_WINDOWS = ("EomtForUniversalSegmentation", "EomtDinov3ForUniversalSegmentation")
_ONE_SIZE = ("BeitForSemanticSegmentation", "Data2VecVisionForSemanticSegmentation", "DPTForSemanticSegmentation")
_FILES = ["*.json", "*.safetensors", "*.bin"]


def folder_of(name: str, download: bool = False) -> Path:
    """The folder of that name, or of that repository in the local cache; `download` fetches it there first.

    Raises:
        FileNotFoundError: neither; says how to fetch it.
    """
    if (folder := Path(name).expanduser()).is_dir():
        return folder
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, local_files_only=not download, allow_patterns=_FILES))
    except (LocalEntryNotFoundError, HFValidationError) as error:
        if download:
            raise OSError(f"{name}: could not be downloaded ({error})") from error
        raise FileNotFoundError(
            f"{name}: no such folder, nor a repository of the Hub on this machine: temporalkd download fetches one"
        ) from None


def open_hugging_face(
    name: str, normalisation: Given | None = None, download: bool = False
) -> tuple[Segmenter, ModelSpec]:
    """A network with its weights, classes and normalisation.

    A semantic segmenter (SegFormer, UperNet, DPT, BEiT, ...) gives its logits, one of mask queries (Mask2Former, EoMT)
    its class scores, a backbone (DINOv2, DINOv3, ...) features alone, at four depths as role "low".

    Args:
        normalisation: None: the image processor's in the same folder.
    Raises:
        FileNotFoundError: no such folder or repository.
        ValueError: transformers is not installed, a network of another task, or weights that are not all of it.
    """
    if find_spec("transformers") is None:
        raise ValueError(f"hf:{name}: transformers is not installed: pip install 'temporalkd[hf]'")
    import transformers

    folder = folder_of(name, download)
    transformers.utils.logging.disable_progress_bar()  # of reading a file on this machine
    config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True)
    kind = (config.architectures or ["?"])[0]
    scale = _scale(folder, config, kind, normalisation)
    if kind.endswith(("Model", "Backbone")):
        return _backbone(name, folder, config, scale)
    names = [str(config.id2label[number]) for number in range(config.num_labels)]
    known = not all(each == f"LABEL_{number}" for number, each in enumerate(names))
    spec = ModelSpec(
        architecture=TRANSFORMERS + kind,
        classes=config.num_labels,
        arguments=_arguments(config),
        normalisation=scale,
        class_names=tuple(names) if known else (),
    )
    segmenter = build(spec)
    model = getattr(transformers, kind)
    filled, report = model.from_pretrained(folder, local_files_only=True, output_loading_info=True)
    if report["missing_keys"]:
        raise ValueError(f"{folder}: no weights for {sorted(report['missing_keys'])[0]!r}: not a trained {kind}")
    network = segmenter.network.model if isinstance(segmenter.network, MaskClassifier) else segmenter.network
    network.load_state_dict(filled.state_dict())
    return segmenter, spec


def _arguments(config: Any) -> dict[str, Any]:
    """Of the config, what is not its default and says how the network is built."""
    found: dict[str, Any] = config.to_diff_dict()
    left_out = ("architectures", "transformers_version", "dtype", "torch_dtype", "model_type", "id2label", "label2id")
    return {key: value for key, value in found.items() if key not in left_out and not key.startswith("_")}


def _scale(folder: Path, config: Any, kind: str, given: Given | None) -> Normalisation:
    if given is None:
        statistics = image_processor_statistics(folder)
        if statistics is None:
            raise ValueError(
                f"{folder}: no preprocessor_config.json says how its input is normalised: give normalisation"
            )
        given = statistics
    scale = resolve(given, nn.Identity())
    inner = getattr(config, "backbone_config", None) or config
    patch = getattr(inner, "patch_size", 32)
    divisor = patch if isinstance(patch, int) and 32 % patch else 32
    return Normalisation(scale.mean, scale.std, 1 if kind in _WINDOWS else divisor)


def of_transformers(kind: str, classes: int, arguments: dict[str, Any]) -> tuple[nn.Module, dict[str, Any]]:
    """An untrained network, and the settings of the Segmenter around it.

    Raises:
        ValueError: transformers has no such segmenter, or not with these arguments.
    """
    if find_spec("transformers") is None:
        raise ValueError(f"{TRANSFORMERS}{kind}: transformers is not installed: pip install 'temporalkd[hf]'")
    import transformers

    if not (kind.endswith("ForSemanticSegmentation") or kind in MASKS) or not hasattr(transformers, kind):
        raise ValueError(
            f"transformers.{kind}: expected a name that ends in ForSemanticSegmentation, or {', '.join(MASKS)}"
        )
    cls = getattr(transformers, kind)
    config = cls.config_class(**arguments, num_labels=classes)
    model = cls(config)
    if kind in MASKS:
        return MaskClassifier(model, config.image_size if kind in _WINDOWS else None), {}
    side = config.image_size if kind in _ONE_SIZE else None
    return model, {} if side is None else {"input_size": (side, side)}


def _backbone(name: str, folder: Path, config: Any, scale: Normalisation) -> tuple[Segmenter, ModelSpec]:
    from transformers.models.auto.modeling_auto import MODEL_FOR_BACKBONE_MAPPING

    if type(config) not in MODEL_FOR_BACKBONE_MAPPING:
        raise ValueError(f"{folder}: {type(config).__name__} is of no backbone that gives features")
    layers = len(config.stage_names) - 1
    depth = min(4, layers)
    indices = [round(layers * (number + 1) / depth) for number in range(depth)]
    model = MODEL_FOR_BACKBONE_MAPPING[type(config)].from_pretrained(folder, local_files_only=True, out_indices=indices)
    return Encoder(model, depth).segmenter(scale), ModelSpec(f"hf:{name}", 0, normalisation=scale)
