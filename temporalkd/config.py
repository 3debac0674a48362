"""What a run is made of: the schema, YAML with `extends` and `--set`, and errors for people. Imports no torch."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, ValidationError


def _ordered(pair: tuple[Any, Any]) -> tuple[Any, Any]:
    if pair[0] > pair[1]:
        raise ValueError("[smallest, largest]")
    return pair


Size = tuple[PositiveInt, PositiveInt]
Gaps = Annotated[tuple[PositiveInt, PositiveInt], AfterValidator(_ordered)]
Scale = Annotated[tuple[PositiveFloat, PositiveFloat], AfterValidator(_ordered)]
Colour = tuple[float, float, float]
Spread = tuple[PositiveFloat, PositiveFloat, PositiveFloat]
Protocol = Literal["visible", "unmasked"]
FlowKind = Literal["raft_small", "raft_large", "dis", "zero"]
EvaluationFlow = Literal["raft_small", "raft_large", "dis", "exact"]


class ConfigError(ValueError):
    """A config that cannot be used; the message names the file, the key, the value and what was expected."""


class Section(BaseModel):
    """A part of a config: no unknown keys."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True, frozen=True)


class CamVid(Section):
    dataset: Literal["camvid"]
    root: str | None = None
    split: Literal["train", "val", "test"] = "train"
    synthetic_motion: bool | None = None


class Folder(Section):
    dataset: Literal["folder"]
    images: str
    labels: str | None = None
    class_names: list[str] = []
    void: int = 255
    synthetic_motion: bool = False
    fps: float = 25.0


class Video(Section):
    dataset: Literal["video"]
    path: str


class Street(Section):
    dataset: Literal["street"]
    count: PositiveInt = 40
    seed: int = Field(0, ge=0)
    length: PositiveInt = 40
    size: Size = (96, 160)


class ImportedData(Section):
    """A callable that returns a Footage: "package.module:name"."""

    dataset: Literal["import"]
    name: str = Field(alias="import")
    options: dict[str, Any] = {}


Dataset = Annotated[CamVid | Folder | Video | Street | ImportedData, Field(discriminator="dataset")]


class Data(Section):
    """Footage, and how clips are drawn from it. `root` overrides where the data sets are looked for."""

    root: str | None = None
    train: Dataset
    unlabelled: Dataset | None = None
    val: Dataset | None = None
    frames: Literal[1, 2, 3] = 2
    gaps: Gaps = (1, 3)
    crop: Size | None = None
    scale: Scale = (1.0, 1.0)
    flip: bool = True
    jitter: float = Field(0.0, ge=0, lt=1)


class Normalisation(Section):
    mean: Colour = (123.675, 116.28, 103.53)
    std: Spread = (58.395, 57.12, 57.375)
    divisor: PositiveInt = 32


class Model(Section):
    """A network: `weights` alone where a json beside them describes it, else its architecture.

    encoder_weights: a file, or "package:NAME" for a pip package that carries one.
    """

    architecture: str | None = None
    arguments: dict[str, Any] = {}
    encoder_weights: str | None = None
    weights: str | None = None
    normalisation: Normalisation = Normalisation()
    roles: dict[str, str | list[str]] = {}


class Term(Section):
    """One more term beside a method's own: by name, or "package.module:Name" of the user's."""

    term: str | None = None
    imported: str | None = Field(None, alias="import")
    name: str | None = None
    weight: float = 1.0
    ramp: bool = False
    options: dict[str, Any] = {}


class MethodSection(Section):
    """What all methods share. class_weight: one number a class, or "enet" to weigh by 1 / log(1.02 + share)."""

    class_weight: list[float] | Literal["enet"] | None = None
    terms: list[Term] = []


class Baseline(MethodSection):
    name: Literal["baseline"]


class KD(MethodSection):
    name: Literal["kd"]
    pixel: float = 1.0
    tau: float = Field(1.0, gt=0)


class ETC(MethodSection):
    name: Literal["etc"]
    pixel: float = 1.0
    intra: float = 10.0
    inter: float = 10.0
    recurrent: float = 0.1
    motion: float = 1.0
    neighbours: float = 0.4
    feature: str = "head"
    inter_feature: str = "logits"
    photometric: float = Field(0.0, ge=0)
    stop_gradient: bool = False


class ImportedMethod(MethodSection):
    """A callable that returns a list of Weighted terms: "package.module:name"."""

    name: Literal["import"]
    imported: str = Field(alias="import")
    options: dict[str, Any] = {}


MethodChoice = Annotated[Baseline | KD | ETC | ImportedMethod, Field(discriminator="name")]


class Flow(Section):
    """The optical flow that training uses where the data has none of its own.

    weights: a file, "download", or None to look under the data root's weights/. cached: keep it on disk.
    """

    kind: FlowKind = "raft_small"
    weights: str | None = None
    cached: bool = False
    cache: str | None = None
    cache_gigabytes: float = Field(20.0, gt=0)


class Training(Section):
    steps: PositiveInt
    batch: PositiveInt = 4
    accumulate: PositiveInt = 1
    optimiser: Literal["adamw", "sgd"] = "adamw"
    lr: float = Field(1e-3, gt=0)
    weight_decay: float = Field(1e-4, ge=0)
    momentum: float = Field(0.9, ge=0, lt=1)
    schedule: Literal["poly", "cosine", "constant"] = "poly"
    power: float = 0.9
    warmup: int = Field(0, ge=0)
    clip_grad: float | None = 5.0
    workers: int = Field(0, ge=0)
    evaluate_every: int = Field(0, ge=0)
    checkpoint_every: PositiveInt = 200
    log_every: PositiveInt = 10
    gradient_norms_every: int = Field(50, ge=0)
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    devices: PositiveInt | Literal["auto"] = 1
    nodes: PositiveInt = 1
    precision: Literal["32-true", "bf16-mixed"] = "32-true"


class Evaluation(Section):
    """flow "exact": the data's own motion, which the synthetic street has."""

    protocols: list[Protocol] = Field(default=["visible"], min_length=1)
    flow: EvaluationFlow = "raft_small"


class Config(Section):
    name: str
    seed: int = Field(0, ge=0)
    data: Data
    student: Model
    teacher: Model | None = None
    method: MethodChoice
    flow: Flow | None = None
    training: Training
    evaluation: Evaluation = Evaluation()


def load(path: Path, overrides: Sequence[str] = ()) -> Config:
    """Read a config file; `extends: other.yaml` fills in what it leaves out, `key.sub=value` overrides win.

    Raises:
        ConfigError: names the file, the key, the value and what was expected.
    """
    values = _read(path, ())
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals or not all(key.split(".")):
            raise ConfigError(f"--set {override!r}: expected key.sub=value")
        _assign(values, key.split("."), _parse(text, f"--set {override}"))
    return parse(values, str(path))


def parse(values: dict[str, Any], where: str) -> Config:
    """Check plain values against the schema."""
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        raise ConfigError(f"{where}: " + "; ".join(_explain(error.errors()))) from None


def dump(config: Config) -> str:
    """YAML with every default written out; itself a valid config."""
    return yaml.safe_dump(config.model_dump(mode="json", by_alias=True), sort_keys=False)


def _read(path: Path, seen: tuple[Path, ...]) -> dict[str, Any]:
    if path.resolve() in seen:
        raise ConfigError(f"{path}: extends itself")
    if not path.is_file():
        near = sorted(str(p) for p in path.parent.glob("*.yaml")) if path.parent.is_dir() else []
        raise ConfigError(f"no config file {path}" + (f", in its folder are {', '.join(near[:8])}" if near else ""))
    try:
        text = path.read_text()
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not a text file") from None
    values = _parse(text, str(path))
    if not isinstance(values, dict):
        found = "an empty file" if values is None else type(values).__name__
        raise ConfigError(f"{path}: expected keys and values, found {found}")
    base = values.pop("extends", None)
    if base is None:
        return values
    if not isinstance(base, str):
        raise ConfigError(f"{path}: extends: expected a file name, got {base!r}")
    return _merge(_read(path.parent / base, (*seen, path.resolve())), values)


def _parse(text: str, where: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{where}: not valid YAML: {' '.join(str(error).split())}") from None


def _merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """`over` wins; sections are joined, unless `over` names another kind (dataset, method, architecture)."""
    merged = dict(base)
    for key, value in over.items():
        old = base.get(key)
        if isinstance(value, dict) and isinstance(old, dict) and not _other_kind(old, value):
            merged[key] = _merge(old, value)
        else:
            merged[key] = value
    return merged


def _other_kind(old: dict[str, Any], new: dict[str, Any]) -> bool:
    return any(k in new and k in old and new[k] != old[k] for k in ("dataset", "name", "architecture"))


def _assign(values: dict[str, Any], keys: list[str], value: Any) -> None:
    *path, last = keys
    for key in path:
        inner = values.get(key)
        if not isinstance(inner, dict):
            inner = values[key] = {}
        values = inner
    values[last] = value


def _explain(problems: Sequence[Any]) -> Iterator[str]:
    """One text a key; what the branches of a union expect is joined."""
    expected: dict[str, tuple[list[str], Any]] = {}
    for problem in problems:
        location, kind, context = _location(problem["loc"]), problem["type"], problem.get("ctx", {})
        if kind == "extra_forbidden":
            known = sorted(set(_known_keys(Config)))
            yield f"unknown key {location}" + _near(str(problem["loc"][-1]), known)
        elif kind == "missing":
            yield f"{location}: missing"
        elif kind == "union_tag_not_found":
            yield f"{location}.{context['discriminator'].strip(QUOTE)}: missing"
        elif kind == "union_tag_invalid":
            tags = re.findall(r"'(\w+)'", context["expected_tags"])
            key, tag = context["discriminator"].strip(QUOTE), context["tag"]
            yield f"{location}.{key}: unknown {tag!r}, expected one of {', '.join(tags)}" + _near(tag, tags)
        else:
            message = problem["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
            message = re.sub(r"^a valid dictionary.*", "keys and values", message)
            expected.setdefault(location, ([], problem["input"]))[0].append(message)
    for location, (messages, value) in expected.items():
        yield f"{location}: expected {' or '.join(messages)}, got {value!r}"


def _location(parts: Sequence[str | int]) -> str:
    """Dotted key, without the branches of unions that pydantic puts between."""
    kept = [
        str(part)
        for before, part in zip(("", *parts), parts)
        if not (before in _TAGGED or str(part) in _PLAIN or "[" in str(part))
    ]
    return ".".join(kept)


def _near(word: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(word, known, n=2, cutoff=0.6)
    return f" (did you mean {' or '.join(near)}?)" if near else ""


def _known_keys(section: type[BaseModel]) -> Iterator[str]:
    for name, info in section.model_fields.items():
        yield info.alias or name
        for inner in _models_in(info.annotation):
            yield from _known_keys(inner)


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)


QUOTE = "'"
_TAGGED = ("train", "unlabelled", "val", "method")  # the part after these is the kind, not a key
_PLAIN = ("int", "float", "str", "constrained-int", "constrained-float")
