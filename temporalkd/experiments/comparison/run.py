"""A comparison from configs to its table; goes on where it was stopped."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from flow.atomic import write_whole
from temporalkd.config import ConfigError
from temporalkd.experiments.comparison import curves
from temporalkd.experiments.comparison.pace import budgeted
from temporalkd.experiments.comparison.plan import INPUTS, Entry, entries, refuse_foreign, unequal
from temporalkd.experiments.comparison.preflight import preflight
from temporalkd.experiments.comparison.results import Subject, results
from temporalkd.experiments.comparison.scores import Scores
from temporalkd.experiments.comparison.subjects import subjects
from temporalkd.experiments.comparison.tables import markdown
from temporalkd.experiments.comparison.train import Train, in_process_of_its_own, train_all
from temporalkd.experiments.provenance import environment
from temporalkd.paths import write_json


def compare(
    configs: Sequence[Path],
    out: Path,
    seeds: Sequence[int],
    overrides: Sequence[str] = (),
    rows: bool = False,
    ema: float = 0.8,
    say: Callable[[str], None] = print,
    train: Train = in_process_of_its_own,
    minutes: Sequence[float] = (),
) -> dict[str, Any]:
    """Train every config with every seed, score all, and write compare.json and compare.md into `out`.

    Args:
        rows: instead of each config, the ablation of its method.
        ema: decay of the moving average of the plain student, which is scored too.
        minutes: each system is trained once for each of these numbers, with the steps that fit into it, its teacher's
            store included; `out` gets curves.png too. None: as many steps as each config says.
    Returns:
        What compare.json holds.
    Raises:
        ConfigError: the configs cannot be compared, or `out` holds results of others.
        FileNotFoundError: data or weights are missing. Both before anything is trained.
    """
    if not 0 <= ema < 1:
        raise ConfigError(f"--ema {ema:g}: expected a decay from 0 to below 1")
    if any(given <= 0 for given in minutes):
        raise ConfigError(f"--minutes {min(minutes):g}: expected a number more than 0")
    systems = entries(configs, overrides, rows)
    notes = unequal(systems, steps=not minutes)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    teachers, scores = preflight(systems, seeds[0], device, out)
    if minutes:
        systems = budgeted(systems, sorted(set(minutes)), seeds[0], out, say)
    write_json(out / INPUTS, refuse_foreign(systems, seeds, out))
    failed = train_all(systems, seeds, out, train, say)
    plain = [entry for method in ("baseline", "kd") for entry in _plain(systems, method)]
    smoothed = [*systems[:1], *_plain(systems, "baseline")][-1]
    compared = subjects(systems, seeds, out, scores, teachers, smoothed, ema, failed)
    if not any(subject.rows for subject in compared):
        raise ChildProcessError(f"every training failed, the first one with: {next(iter(failed.values()))}")
    found = _facts(systems, seeds, scores, compared, notes)
    found |= results(compared, [entry.name for entry in plain or _first(systems)])
    write_whole(out / "compare.json", (json.dumps(found, indent=1, allow_nan=False) + "\n").encode())
    if minutes:
        write_whole(out / curves.CURVES, curves.draw(found))
    write_whole(out / "compare.md", markdown(found).encode())
    return found


def _plain(systems: Sequence[Entry], method: str) -> list[Entry]:
    """The first that is this method and nothing else, for each number of minutes."""
    found: dict[float, Entry] = {}
    for entry in systems:
        if entry.is_plain(method):
            found.setdefault(entry.budget["minutes"] if entry.budget else 0.0, entry)
    return list(found.values())


def _first(systems: Sequence[Entry]) -> list[Entry]:
    """The first system for each number of minutes."""
    return list({str(entry.budget and entry.budget["minutes"]): entry for entry in reversed(systems)}.values())[::-1]


def _facts(
    systems: Sequence[Entry], seeds: Sequence[int], scores: Scores, subjects: Sequence[Subject], notes: Sequence[str]
) -> dict[str, Any]:
    """On what, with what and by which measure."""
    config = systems[0].at(seeds[0])
    assert config.data.val is not None
    row = next(row for subject in subjects for row in subject.rows.values())
    return {
        "seeds": list(seeds),
        "steps": " or ".join(map(str, dict.fromkeys(entry.config.training.steps for entry in systems))),
        "data": config.data.val.model_dump(mode="json", by_alias=True),
        "protocol": row.protocol,
        "flow": row.flow,
        "fingerprint": row.fingerprint,
        "coverage": row["coverage"],
        "size": row.size,
        "frames": row.frames,
        "device": scores.device.type,
        "threads": torch.get_num_threads(),
        "environment": environment(config.seed),
        "notes": list(notes),
        "configs": {e.name: e.config.model_dump(mode="json", by_alias=True, exclude={"seed"}) for e in systems},
    }
