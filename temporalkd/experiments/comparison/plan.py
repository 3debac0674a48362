"""What is to be compared: systems from configs, whether the comparison is fair, and whether OUT belongs to it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from temporalkd.config import Config, ConfigError, load, parse
from temporalkd.experiments.run_directory import differing
from temporalkd.models import is_source
from temporalkd.paths import find, read_json

INPUTS = "inputs.json"
REFERENCES = ("ceiling", "floor", "constant")
TAKEN = ("teacher", "scores", *REFERENCES)
MUST_AGREE = ("student", "data.root", "data.val", "evaluation", "method.class_weight")
SHOULD_AGREE = (
    *("data.train", "data.semi", "data.unlabelled", "data.crop", "data.scale", "data.flip", "data.jitter", "flow"),
    *(f"training.{key}" for key in ("steps", "batch", "accumulate", "devices", "nodes", "precision", "optimiser")),
    *(f"training.{key}" for key in ("lr", "weight_decay", "momentum", "schedule", "power", "warmup", "clip_grad")),
    "training.ema",
)
"""Not data.frames and data.gaps, which belong to the method."""


@dataclass(frozen=True)
class Entry:
    """A system to be trained once a seed: a config, or a row of its method's ablation."""

    name: str
    path: str
    config: Config
    budget: dict[str, Any] | None = None
    """Of its minutes and steps, where all have equal minutes; see `pace.Budget`."""

    def at(self, seed: int) -> Config:
        """The config of one training."""
        return self.config.model_copy(update={"seed": seed})

    def folder(self, out: Path, seed: int) -> Path:
        """Its run folder."""
        return out / self.path / f"seed{seed}"

    def is_plain(self, method: str) -> bool:
        """Whether it is this method and nothing else."""
        return self.config.method.name == method and not self.config.method.terms


def entries(files: Sequence[Path], overrides: Sequence[str], rows: bool) -> list[Entry]:
    """The systems that the config files name; with `rows` each one's own ablation instead.

    Raises:
        ConfigError: a config that cannot be used, two of one name, or a name that is no folder's.
    """
    found: dict[str, Path] = {}
    systems = []
    for file in files:
        config = load(file, overrides)
        name = config.name
        if name in found:
            raise ConfigError(f"{found[name]} and {file} are both called {name!r}: give each its own name")
        if name in TAKEN or name != Path(name).name or name.startswith("."):
            raise ConfigError(f"{file}: name: {name!r} is not a valid folder name for a system: change it")
        if config.data.val is None:
            raise ConfigError(f"{file}: data.val: missing: there is nothing to compare on")
        found[name] = file
        systems += list(_rows(config, file)) if rows else [Entry(name, name, config)]
    return systems


def _rows(config: Config, file: Path) -> Iterator[Entry]:
    """One entry a row of the method's ablation; the config itself where it has none."""
    own = config.method.rows
    if not own:
        yield Entry(config.name, config.name, config)
    values = config.model_dump(mode="json", by_alias=True)
    known: list[Config] = []
    for row, options in own.items():
        changed = parse(values | {"method": values["method"] | options}, f"{file}, row {row!r}")
        if changed in known:  # it takes away what this config does not have
            continue
        known.append(changed)
        yield Entry(f"{config.name}: {row}", f"{config.name}/{slug(row)}", changed)


def slug(text: str) -> str:
    """A row's name as that of a folder."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def unequal(systems: Sequence[Entry], steps: bool = True) -> list[str]:
    """What the systems do not have in common, though it would be better: one text a key.

    Args:
        steps: whether their numbers of steps should agree.

    Raises:
        ConfigError: they differ in what makes numbers comparable at all.
    """
    first, *others = systems
    for other in others:
        for key in MUST_AGREE:
            one, two = (_value(entry.config, key) for entry in (first, other))
            for inner in _keys(key, one, two):
                values = [_value(entry.config, inner) for entry in (first, other)]
                raise ConfigError(
                    f"{inner}: {values[0]!r} in {first.name}, {values[1]!r} in {other.name}: "
                    "compared systems must agree"
                )
    keys = [
        inner
        for key in SHOULD_AGREE
        if steps or key != "training.steps"
        for inner in _all_keys(key, [_value(e.config, key) for e in systems])
    ]
    notes = [_spread(systems, key) for key in keys]
    for key in ("teacher", "second_teacher"):
        taught = [entry for entry in systems if _value(entry.config, key) is not None]
        notes += [_spread(taught, inner) for inner in _all_keys(key, [_value(entry.config, key) for entry in taught])]
    return notes


def _spread(systems: Sequence[Entry], key: str) -> str:
    """A key's values, each with the systems that have it."""
    having: dict[str, list[str]] = {}
    for entry in systems:
        having.setdefault(json.dumps(_value(entry.config, key)), []).append(entry.name)
    return f"{key} is " + "; ".join(f"{value} in {', '.join(names)}" for value, names in having.items())


def _all_keys(key: str, values: Sequence[Any]) -> list[str]:
    """Dotted keys, `key` or below it, in which any of the values differs from the first."""
    return list(dict.fromkeys(inner for value in values[1:] for inner in _keys(key, values[0], value)))


def _keys(key: str, one: Any, other: Any) -> Iterator[str]:
    if isinstance(one, dict) and isinstance(other, dict):
        yield from (f"{key}.{inner}" for inner in differing(one, other))
    elif one != other:
        yield key


def _value(config: Config, key: str) -> Any:
    """What stands at a dotted key; None where there is nothing."""
    value: Any = config.model_dump(mode="json", by_alias=True)
    for part in key.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def refuse_foreign(systems: Sequence[Entry], seeds: Sequence[int], out: Path) -> bytes:
    """Look whether OUT holds what these configs make, from the same weights.

    Returns:
        What OUT/inputs.json is to hold: the weights that the trainings start from.
    Raises:
        ConfigError: it holds results of another config, or of other weights.
    """
    if out.exists() and not out.is_dir():
        raise FileExistsError(f"{out} is a file, expected a folder")
    for entry in systems:
        for seed in seeds:
            path = entry.folder(out, seed) / "config.yaml"
            if path.is_file() and (
                keys := list(differing(load(path, own=False).model_dump(), entry.at(seed).model_dump()))
            ):
                raise ConfigError(
                    f"{path.parent} holds results of another config: it differs in {', '.join(keys[:4])}: "
                    "use another -o, or delete it"
                )
    path = out / INPUTS
    known = read_json(path) if path.is_file() else {}
    inputs = {f"{entry.path} {key}": digest(file) for entry in systems for key, file in _weights(entry.config)}
    for key, value in inputs.items():
        if known.get(key, value) != value:
            raise ConfigError(f"{out} holds results of other weights: {key} has changed: use another -o, or delete it")
    return (json.dumps(known | inputs, indent=2) + "\n").encode()


def _weights(config: Config) -> Iterator[tuple[str, Path]]:
    """Key and file of the weights that the trainings start from.

    Raises:
        FileNotFoundError: a file is missing; names the key.
    """
    named = {"student.weights": config.student.weights, "student.encoder_weights": config.student.encoder_weights}
    for key, section in (("teacher", config.teacher), ("second_teacher", config.second_teacher)):
        if section is not None:
            named[f"{key}.weights"] = section.weights
    for key, value in named.items():
        if value is not None and not value.startswith("package:") and not is_source(value):
            try:
                yield key, find(value, "weights")
            except FileNotFoundError as error:
                raise FileNotFoundError(f"{config.name}: {key}: {error}") from None


def digest(path: Path) -> str:
    """Of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
