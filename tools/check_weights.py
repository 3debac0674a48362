"""Check the default weights of every method by gradient: `python tools/check_weights.py [METHOD...]`.

A student of configs/street is trained for 50 steps with every weight at its full value, from the small teacher
that comes with the package. Then no term may pull the student's encoder more than twice as hard as cross-entropy does.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from statistics import mean

from rich.console import Console
from rich.table import Table

from temporalkd.config import Config, build, load
from temporalkd.experiments import run
from temporalkd.methods import METHODS
from temporalkd.training.log import LOG

ROOT = Path(__file__).resolve().parents[1]
TEACHER = "street-teacher"
STEPS, LAST, EVERY = 50, 2, 10
"""Steps of the training; the last so many measurements, so many steps apart, are averaged."""
LIMIT = 2.0
"""Largest gradient of a term in the encoder, in those of cross-entropy."""


CONFIG = {"footage": "recipe"}
"""Names of configs that are not their method's."""


def config_of(method: str, batch: int = 6) -> Config:
    """The method's street config with its ramps at 1 from the first step, and the small teacher as each teacher."""
    overrides = [
        f"training.steps={STEPS}",
        f"training.batch={batch}",
        "training.workers=0",
        "training.evaluate_every=0",
        f"training.gradient_norms_every={EVERY}",
    ]
    path = ROOT / "configs" / "street" / f"{CONFIG.get(method, method)}.yaml"
    for key in ("teacher", "second_teacher"):
        if getattr(load(path), key) is not None:
            overrides.append(f"{key}.weights={TEACHER}")
    if method == "footage":
        overrides += ["teacher.views=null", "teacher.store=false"]
    if method == "selfcorrecting":
        overrides += ["method.rounds=1", "method.fit=20"]
    config = load(path, overrides)
    data = build.training_footage(config)
    student, _ = build.model(config.student, "student", data)
    terms = build.method(config, student, build.teacher(config, data), data).terms
    ramps = [f"method.ramps.{name}={{start: 0, end: 0}}" for name, weighted in terms.items() if weighted.ramp]
    return load(path, [*overrides, *ramps])


def pulls(method: str, batch: int = 6) -> dict[str, float]:
    """Each term's gradient in the encoder after the training, in those of cross-entropy."""
    with tempfile.TemporaryDirectory() as folder:
        run.train(config_of(method, batch), Path(folder) / "run", say=lambda line: None, score=False)
        lines = [json.loads(line) for line in (Path(folder) / "run" / LOG).read_text().splitlines()]
    norms = [
        {key.partition("/")[2]: value for key, value in line.items() if key.startswith("gradient/")} for line in lines
    ]
    measured = [found for found in norms if found][-LAST:]
    base = mean(found["cross_entropy"] for found in measured)
    return {name: mean(found[name] for found in measured) / base for name in measured[-1] if name != "cross_entropy"}


def main(methods: list[str]) -> int:
    """Print a table; 1 where a term is above the limit."""
    table = Table("method", "term", "gradient / cross-entropy's", title=f"encoder, after {STEPS} steps on the street")
    above = False
    for method in methods:
        for name, pull in pulls(method).items():
            above |= pull > LIMIT
            table.add_row(method, name, f"{pull:.3f}" + (f"  above {LIMIT:g}" if pull > LIMIT else ""))
    Console().print(table)
    return int(above)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or [name for name in METHODS if name != "baseline"]))
