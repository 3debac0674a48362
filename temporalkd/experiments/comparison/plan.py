"""What is to be compared: systems from configs, whether the comparison is fair, and whether OUT belongs to it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
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
    values = {entry.name: entry.config.model_dump(mode="json", by_alias=True) for entry in systems}
    notes = []
    for key in _unequal_keys(values):
        if _is_below(key, MUST_AGREE):
            (one, first), *others = [(name, _value(of, key)) for name, of in values.items()]
            two, other = next((name, value) for name, value in others if value != first)
            raise ConfigError(f"{key}: {first!r} in {one}, {other!r} in {two}: compared systems must agree")
        if _is_below(key, SHOULD_AGREE) and (steps or key != "training.steps"):
            notes.append(_spread(key, values))
    for section in ("teacher", "second_teacher"):
        taught = {name: {section: of[section]} for name, of in values.items() if of[section] is not None}
        notes += [_spread(key, taught) for key in _unequal_keys(taught)]
    return notes


Values = Mapping[str, dict[str, Any]]
"""The name of a system -> its config."""


def _unequal_keys(values: Values) -> list[str]:
    """Dotted keys in which any differs from the first."""
    configs = list(values.values())
    return list(dict.fromkeys(key for other in configs[1:] for key in differing(configs[0], other)))


def _is_below(key: str, sections: Sequence[str]) -> bool:
    return any(f"{key}.".startswith(f"{section}.") for section in sections)


def _spread(key: str, values: Values) -> str:
    """A key's values, each with the systems that have it."""
    having: dict[str, list[str]] = {}
    for name, of in values.items():
        having.setdefault(json.dumps(_value(of, key)), []).append(name)
    return f"{key} is " + "; ".join(f"{value} in {', '.join(names)}" for value, names in having.items())


def _value(values: dict[str, Any], key: str) -> Any:
    """What stands at a dotted key; None where there is nothing."""
    value: Any = values
    for part in key.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def refuse_foreign(systems: Sequence[Entry], seeds: Sequence[int], out: Path) -> dict[str, str]:
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
    return known | inputs


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
