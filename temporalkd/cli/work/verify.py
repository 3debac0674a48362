"""`verify`: whether a run's student still gives the numbers that its training wrote down."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from temporalkd.cli.work.systems import device
from temporalkd.config import Config, build
from temporalkd.console import progress, say
from temporalkd.evaluation import SHARES, network
from temporalkd.experiments.provenance import environment, fingerprint
from temporalkd.experiments.run_directory import load_run
from temporalkd.experiments.scoring import Scorer
from temporalkd.paths import read_json

CALLED = {
    "code": "the code of temporalkd",
    "data_train": "the training data",
    "data_val": "the validation data",
    "dirty": "whether the code was edited",
    "git": "the commit",
}


@dataclass(frozen=True)
class RecordedNumber:
    """A number as it was recorded and as it is found now, in percent; None where it is not defined.

    what: protocol, flow and number, as people call them.
    """

    what: str
    recorded: float | None
    found: float | None

    @property
    def difference(self) -> float:
        """In points; infinite where one of the two is missing."""
        if self.recorded is None or self.found is None:
            return 0.0 if self.recorded is self.found else float("inf")
        return self.found - self.recorded

    def __str__(self) -> str:
        if self.difference == 0:
            return f"{self.what}: {_shown(self.recorded)}, as recorded"
        by = "" if self.recorded is None or self.found is None else f", differs by {self.difference:+.4f}"
        return f"{self.what}: {_shown(self.found)}, recorded {_shown(self.recorded)}{by}"


def verify(run: Path) -> Iterator[RecordedNumber]:
    """Evaluate the student of a run folder again, as its evaluation.json says it was.

    What has changed since then and may change a number is told first.

    Raises:
        FileNotFoundError: not a run folder with a trained student and its scores; names what is missing.
        ValueError: evaluation.json is damaged; names it.
    """
    config, segmenter, _ = load_run(run)
    rows = recorded(run)
    flows, protocols = (list(dict.fromkeys(row[key] for row in rows)) for key in ("flow", "protocol"))
    scorer = Scorer(config, device(), flows, protocols, segmenter.classes)
    if changed := list(_changed(run, config, scorer)):
        say(f"since {run} was trained: {', '.join(changed)}")
    segmenter.to(device()).eval()
    with progress("verify") as tick:
        found = scorer.rows({"student": network(segmenter)}, references=False, progress=tick)
    now = {(row.protocol, row.flow): row for row in found}
    for row in rows:
        again = now[row["protocol"], row["flow"]]
        for key, heading in SHARES.items():
            if key in row and (row[key], again[key]) != (None, None):
                yield RecordedNumber(f"{row['protocol']}, {row['flow']}, {heading}", row[key], again[key])


def recorded(run: Path) -> list[dict[str, Any]]:
    """The student's rows of a run's evaluation.json.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it holds something else; names it.
    """
    path = run / "evaluation.json"
    if not path.is_file():
        raise FileNotFoundError(f"{run} has no evaluation.json: it was trained without data.val, or with --no-score")
    found = read_json(path).get("results")
    if not isinstance(found, list) or not all(isinstance(row, dict) and _is_row(row) for row in found):
        raise ValueError(f"{path}: not the results of an evaluation")
    rows = [row for row in found if row["system"] == "student"]
    if not rows:
        raise ValueError(f"{path}: it holds no results of the student")
    return rows


def _is_row(row: dict[str, Any]) -> bool:
    named = all(isinstance(row.get(key), str) for key in ("system", "protocol", "flow"))
    return named and all(isinstance(row.get(key), int | float | None) for key in SHARES)


def _shown(share: float | None) -> str:
    return "not defined" if share is None else f"{share:.4f}"


def _changed(run: Path, config: Config, scorer: Scorer) -> Iterator[str]:
    """What may change a number: versions, the code, the machine, the footage."""
    path = run / "environment.json"
    if not path.is_file():
        yield f"{path} is missing, so changes are unknown"
        return
    then, splits = read_json(path), {"val": fingerprint(scorer.footage.sources)}
    with suppress(OSError, ValueError):  # to score it again, the data that it was trained on need not be there
        splits["train"] = fingerprint(build.training_footage(config).sources)
    now = environment(0, splits)
    if "data_train_before" in then:
        yield "it was resumed with different training data"
    untold = {"seed", "deterministic"} | ({"git", "dirty"} if "code" in then else set())
    for key in now:
        if key in then and key not in untold and then[key] != now[key]:
            yield f"{CALLED.get(key, key)} was {then[key]}, is {now[key]}"
