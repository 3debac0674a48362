"""The folder of a run: taken, opened, resumed, read again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from flow.atomic import write_whole
from temporalkd.config import Config, ConfigError, dump, load
from temporalkd.data.source import Source
from temporalkd.experiments.lock import LOCK
from temporalkd.experiments.provenance import environment, fingerprint
from temporalkd.models import ModelSpec, Segmenter, load_segmenter
from temporalkd.paths import read_json, write_json
from temporalkd.training import checkpoint

PSEUDO = "pseudo"
"""Folder of the labels that a run makes itself."""
LEFTOVERS = (".*.part", "checkpoints/.*.part", f"{PSEUDO}/.*.part", f"{PSEUDO}/round*/.*.partial")
"""What a process that is killed while it writes leaves behind."""
FREE = {"training.workers", "data.root", "data.train.root", "data.val.root", "flow.cache", "flow.cache_gigabytes"}
"""Settings that change nothing of what comes out: a run may be resumed with others. Data has a fingerprint."""


def has_checkpoint(folder: Path) -> bool:
    """Whether a training can go on from what is there."""
    return any((folder / "checkpoints" / name).is_file() for name in (checkpoint.LAST, checkpoint.PREVIOUS))


def refuse_unusable(config: Config, folder: Path, resume: bool) -> str | None:
    """Look whether this training may use the folder.

    Returns:
        What is to be told of the checkpoint that it goes on from, if anything.
    """
    path = folder / "config.yaml"
    _refuse_links(folder)
    if resume:
        if all(file.name.startswith(".") for file in folder.iterdir()):
            return f"{folder} holds no checkpoint: the training starts from the beginning"
        if not path.is_file():
            raise FileNotFoundError(f"{folder} is not a run folder: nothing to resume")
        began = load(path, own=False).model_dump()
        if keys := [key for key in differing(began, config.model_dump()) if key not in FREE]:
            raise ConfigError(
                f"{path} differs from the config given in {', '.join(keys[:4])}: "
                "resume with the same, or train into another folder"
            )
        found = checkpoint.latest(folder / "checkpoints")
        if found is None:
            return f"{folder} holds no checkpoint: the training starts from the beginning again"
        return found.doubt
    if path.exists() or has_checkpoint(folder):
        raise FileExistsError(f"{folder} already holds a run: --resume it, or name another folder with -o")
    if (folder / PSEUDO).exists():
        raise FileExistsError(f"{folder / PSEUDO} holds labels of another run: delete it, or use another folder")
    return None


def _refuse_links(folder: Path) -> None:
    """What a training writes stays in its folder; the folder itself may be a link.

    Raises:
        ConfigError: something in it leads elsewhere; names it.
    """
    places = (folder, folder / "checkpoints", folder / PSEUDO)
    for path in (inner for place in places if place.is_dir() for inner in place.iterdir()):
        if path.is_symlink():
            raise ConfigError(f"{path} is a symbolic link: replace it with a file or folder")


def open_folder(config: Config, folder: Path, data: Mapping[str, Iterable[Source]]) -> list[str]:
    """Take the folder for a run, or take it up again; what a killed process left goes.

    data: the sources that it trains on, "train", and is scored on, "val".

    Returns:
        What is to be told of sources that are not as they were when the run began, or was last resumed: a file may have
        been mended since. environment.json keeps the fingerprints of both.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _sweep(folder, *LEFTOVERS)
    if not (folder / "config.yaml").exists():
        write_whole(folder / "config.yaml", dump(config).encode())
    prints, path = {split: fingerprint(sources) for split, sources in data.items()}, folder / "environment.json"
    if not path.exists():
        write_json(path, environment(config.seed, prints))
        return []
    found = read_json(path)
    changed = {split: now for split, now in prints.items() if found.get(f"data_{split}", now) != now}
    for split, now in changed.items():
        key, earlier = f"data_{split}", found.get(f"data_{split}_before")
        found |= {key: now, f"{key}_before": [*(earlier if isinstance(earlier, list) else []), found[key]]}
    if changed:
        write_json(path, found)
    told = "has changed since the run began (fingerprint now {}): going on with it"
    return [f"data.{split} {told.format(now)}" for split, now in changed.items()]


def is_finished(folder: Path) -> bool:
    """Whether the run folder holds a trained student."""
    return (folder / "student.safetensors").is_file() and (folder / "student.json").is_file()


def has_ended(folder: Path, steps: int, scored: bool) -> bool:
    """Whether it holds the student of that many steps, and its scores.

    Raises:
        ValueError: no checkpoint that is there can be read.
    """
    if not is_finished(folder) or (scored and not (folder / "evaluation.json").is_file()):
        return False
    found = checkpoint.latest(folder / "checkpoints")
    return found is None or found.state["step"] >= steps


def clear(folder: Path) -> None:
    """Take back what a training wrote that ended before its first checkpoint: there is nothing to resume."""
    names = (
        "config.yaml",
        "environment.json",
        "resources.json",
        "log.jsonl",
        "metrics.csv",
        "log.csv",
        "wandb.json",
        "mlflow.json",
    )
    _sweep(folder, *names, "events.out.tfevents.*", *LEFTOVERS, LOCK)
    for place in (folder / "checkpoints", folder):
        with suppress(OSError):
            place.rmdir()


def _sweep(folder: Path, *patterns: str) -> None:
    for pattern in patterns:
        for path in folder.glob(pattern):
            path.unlink(missing_ok=True)


def load_run(folder: Path, overrides: Sequence[str] = ()) -> tuple[Config, Segmenter, ModelSpec]:
    """The config, with `overrides`, and the trained student of a run folder.

    Raises:
        FileNotFoundError: not a run folder, or one whose training has not ended.
    """
    if not (folder / "config.yaml").is_file():
        raise FileNotFoundError(f"{folder} is not a run folder: it has no config.yaml")
    if not (folder / "student.safetensors").is_file():
        raise FileNotFoundError(f"{folder} has no student.safetensors: its training has not ended (train --resume)")
    config = load(folder / "config.yaml", overrides, own=False)
    return config, *load_segmenter(folder / "student.safetensors")


def differing(one: dict[str, Any], other: dict[str, Any], above: str = "") -> Iterator[str]:
    """Dotted keys in which two configs differ."""
    for key in dict.fromkeys([*one, *other]):
        a, b = one.get(key), other.get(key)
        if isinstance(a, dict) and isinstance(b, dict):
            yield from differing(a, b, f"{above}{key}.")
        elif a != b:
            yield above + key
