"""`compare`: the tables hold what `evaluate` says, nothing is done twice, and what fails costs nothing else."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import pytest
import torch
import yaml

from temporalkd.config import load, parse
from temporalkd.evaluation import SHARES, Row, network
from temporalkd.experiments import comparison, run
from temporalkd.experiments.comparison import compare, curves, pace
from temporalkd.experiments.comparison.plan import entries, slug, unequal
from temporalkd.experiments.scoring import Scorer
from temporalkd.methods import METHODS
from temporalkd.metrics import mean_difference
from temporalkd.models import load_segmenter
from tests.cli_support import ROOT, isolated, results, run_main, tiny_config, write_config

Call = Callable[..., tuple[str, str]]
STREET = {"dataset": "street", "count": 1, "length": 5, "size": [48, 64]}
VAL = {**STREET, "count": 6, "length": 4, "seed": 9}
SHOWN = ("miou", "macc", "boundary_iou", "consistency", "flip_rate")


def write(folder: Path, name: str, **sections: Any) -> Path:
    """A config of two steps, scored on six short streets."""
    data = {"train": STREET, "val": VAL, **sections.pop("data", {})}
    training = {"log_every": 1, **sections.pop("training", {})}
    return write_config(folder / f"{name}.yaml", tiny_config(name=name, data=data, training=training, **sections))


def write_three(folder: Path) -> list[Path]:
    """baseline, kd and motion, and the teacher of kd in folder/teacher."""
    teacher = write(folder, "big", training={"steps": 3}, seed=5)
    run.train(load(teacher), folder / "teacher", say=lambda line: None, score=False)
    weights = str(folder / "teacher" / "student.safetensors")
    return [
        write(folder, "plain"),
        write(folder, "distilled", teacher={"weights": weights}, method={"name": "kd"}),
        write(folder, "moved", method={"name": "baseline", "terms": [{"term": "motion_consistency"}]}),
    ]


class Here:
    """Trains in this process; knows what it trained. `breaks` is called before each training."""

    def __init__(self, breaks: Callable[[Path], None] = lambda folder: None):
        self.trained: list[tuple[str, bool]] = []
        self.breaks = breaks

    def __call__(self, file: Path, folder: Path, resume: bool) -> str | None:
        self.trained.append((f"{folder.parent.name}/{folder.name}", resume))
        try:
            self.breaks(folder)
            run.train(load(file), folder, resume, say=lambda line: None, score=False)
        except OSError as error:
            return str(error)
        return None


def quietly(line: str) -> None:
    pass


def shares(found: dict[str, Any]) -> dict[str, Any]:
    """system -> its scores: all that does not depend on the clock."""
    return {system["name"]: system["scores"] for system in found["systems"]}


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A folder with configs and `out`, a comparison of three systems with two seeds; and what it returned."""
    folder = tmp_path_factory.mktemp("compare")
    with isolated(folder / "cache", folder):
        return folder, compare(write_three(folder), folder / "out", [4, 5], say=quietly, train=Here())


def configs(folder: Path) -> list[Path]:
    return [folder / f"{name}.yaml" for name in ("plain", "distilled", "moved")]


# Numbers


def test_the_scores_are_those_of_evaluate(done: tuple[Path, dict[str, Any]], call: Call) -> None:
    folder, found = done
    assert json.loads((folder / "out" / "compare.json").read_text()) == found
    assert list(shares(found)) == [
        *("plain", "plain EMA 0.8", "distilled", "moved", "teacher", "ceiling", "floor", "constant")
    ]
    expected: dict[str, dict[str, dict[str, Any]]] = {}
    for name in ("plain", "distilled", "moved"):
        for seed in ("4", "5"):
            row, smooth, *references = results(
                call("evaluate", folder / "out" / name / f"seed{seed}", "--ema", 0.8, "--json")[0]
            )
            expected.setdefault(name, {})[seed] = row
            expected.setdefault(f"{name} EMA 0.8", {})[seed] = smooth
            expected |= {row["system"]: {"all": row} for row in references}
    (row, *_) = results(call("evaluate", folder / "teacher", "--data", folder / "plain.yaml", "--json")[0])
    expected["teacher"] = {"all": row}
    for name, scores in shares(found).items():
        for key in SHARES:
            assert scores[key]["per_seed"] == {seed: row[key] for seed, row in expected[name].items()}, (name, key)
            values = [row[key] for row in expected[name].values() if row[key] is not None]
            if values:
                assert scores[key]["mean"] == pytest.approx(sum(values) / len(values))
                assert (scores[key]["low"], scores[key]["high"]) == (min(values), max(values))
    assert found["protocol"] == "visible" and found["flow"] == "exact" and found["size"] == "48x64"
    assert found["frames"] == 24 and found["seeds"] == [4, 5] and found["notes"] == []


def test_differences_are_paired_by_seed(done: tuple[Path, dict[str, Any]], elsewhere: None) -> None:
    folder, found = done
    scorer = Scorer(load(folder / "plain.yaml"), torch.device("cpu"))

    def row(name: str, seed: int) -> Row:
        student, _ = load_segmenter(folder / "out" / name / f"seed{seed}" / "student.safetensors")
        return scorer.rows({name: network(student)}, references=False)[0]

    rows = {name: [row(name, seed) for seed in (4, 5)] for name in ("plain", "distilled", "moved")}
    listed = [(d["system"], d["minus"], d["measure"]) for d in found["differences"]]
    pairs = [(s, m) for m in ("plain", "distilled") for s in ("plain", "plain EMA 0.8", "distilled", "moved") if s != m]
    assert listed == [(*pair, key) for pair in pairs for key in SHOWN]
    for difference in found["differences"]:
        if "EMA" in difference["system"]:
            continue
        key, one, other = difference["measure"], rows[difference["system"]], rows[difference["minus"]]
        value, low, high = mean_difference([r.series[key] for r in one], [r.series[key] for r in other])
        assert difference["mean"] == pytest.approx(100 * float(value), abs=1e-9)
        assert (difference["low"], difference["high"]) == pytest.approx((100 * float(low), 100 * float(high)))
        each = [(a[key] or 0) - (b[key] or 0) for a, b in zip(one, other)]
        assert list(difference["per_seed"].values()) == pytest.approx(each, abs=2e-4)
        assert difference["signs"] == " ".join(
            "+" if x > 0 else "-" if x < 0 else "0" for x in difference["per_seed"].values()
        )


def test_costs_are_of_the_training_and_of_the_network(done: tuple[Path, dict[str, Any]]) -> None:
    folder, found = done
    by_name = {system["name"]: system for system in found["systems"]}
    plain, smooth, ceiling = by_name["plain"], by_name["plain EMA 0.8"], by_name["ceiling"]
    student, _ = load_segmenter(folder / "out" / "plain" / "seed4" / "student.safetensors")
    assert plain["parameters"] == sum(p.numel() for p in student.parameters()) == smooth["parameters"]
    assert plain["fps"] > 0 and plain["fps"] == by_name["moved"]["fps"] and by_name["teacher"]["fps"] > 0
    assert smooth["fps"] is None and ceiling["parameters"] is None
    for seed in ("4", "5"):
        run_folder = folder / "out" / "plain" / f"seed{seed}"
        steps = [json.loads(line) for line in (run_folder / "log.jsonl").read_text().splitlines()]
        assert plain["training"]["seconds_per_step"]["per_seed"][seed] == steps[1]["seconds"], (
            "two steps, not the first"
        )
        (attempt,) = json.loads((run_folder / "resources.json").read_text())["attempts"]
        assert plain["training"]["minutes"]["per_seed"][seed] == attempt["cpu_seconds"] / 60 > 0
        assert plain["training"]["peak_mib"]["per_seed"][seed] == attempt["peak_mib"] > 50
    assert ceiling["training"]["minutes"]["mean"] is None and plain["partly_measured"] == []


def test_the_markdown_holds_every_number(done: tuple[Path, dict[str, Any]]) -> None:
    folder, found = done
    text = (folder / "out" / "compare.md").read_text()
    for system in found["systems"]:
        (line,) = re.findall(
            rf"^\| {re.escape(system['name'])} \| [\d-].*\d+\.\d+.* \|$", text.split("## Diff")[0], re.M
        )
        for key in SHOWN:
            score = system["scores"][key]
            shown = "-" if score["mean"] is None else f"{score['mean']:.2f}"
            assert shown in line, (system["name"], key)
            if len(score["per_seed"]) == 2:
                assert f"{shown} [{score['low']:.2f}..{score['high']:.2f}]" in line
    for difference in found["differences"]:
        each = " ".join(f"{x:+.2f}" for x in difference["per_seed"].values())
        assert f"| {difference['mean']:+.2f} |" in text and f"| {difference['signs']} | {each} |" in text
    for word in (
        "count 6",
        "24 frames of 48x64",
        "Protocol visible; flow exact",
        "Seeds 4, 5; 2 steps",
        "over the 2 seeds",
    ):
        assert word in text
    assert "## Differences to plain" in text and "## Differences to distilled" in text


# Nothing twice


def test_a_second_time_nothing_is_trained_or_scored(
    done: tuple[Path, dict[str, Any]], elsewhere: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, found = done
    train = Here()
    monkeypatch.setattr(Scorer, "rows", lambda *arguments, **more: pytest.fail("scored again"))
    assert shares(compare(configs(folder), folder / "out", [4, 5], say=quietly, train=train)) == shares(found)
    assert train.trained == []


def test_only_what_is_missing_is_trained(done: tuple[Path, dict[str, Any]], elsewhere: None) -> None:
    folder, found = done
    path = folder / "out" / "moved" / "seed5"
    for name in ("student.safetensors", "student.json", "checkpoints/last.pt"):
        (path / name).unlink()
    train = Here()
    again = compare(configs(folder), folder / "out", [4, 5], say=quietly, train=train)
    assert train.trained == [("moved/seed5", False)], "without a checkpoint it starts again"
    assert shares(again) == shares(found) and again["differences"] == found["differences"]


# What stops or fails


def test_interrupted_and_resumed_gives_the_same_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A real process, a real Ctrl-C: what the terminal's group of processes gets."""
    files = [
        write(tmp_path, name, training={"steps": 12, "checkpoint_every": 2, "lr": lr})
        for name, lr in (("a", 0.01), ("b", 0.02))
    ]
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    with isolated(tmp_path / "cache", tmp_path):
        command = [sys.executable, "-m", "temporalkd.cli", "compare", *map(str, files), "--seeds", "1", "-o", "out"]
        # What is started in the background of a shell ignores Ctrl-C, and so would what it starts.
        process = subprocess.Popen(
            command,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        deadline = time.monotonic() + 240
        while not (tmp_path / "out/a/seed0/checkpoints/last.pt").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=120)
        assert process.returncode == 1 and err.endswith("error: interrupted; run the same command to continue\n"), err
        assert (
            not (tmp_path / "out/a/seed0/student.safetensors").exists() and not (tmp_path / "out/compare.md").exists()
        )
        train = Here()
        resumed = compare(files, tmp_path / "out", [0], say=quietly, train=train)
        assert train.trained == [("a/seed0", True), ("b/seed0", False)]
        whole = compare(files, tmp_path / "whole", [0], say=quietly, train=Here())
    assert shares(resumed) == shares(whole) and resumed["differences"] == whole["differences"]
    assert len(json.loads((tmp_path / "out/a/seed0/resources.json").read_text())["attempts"]) == 2


def test_a_training_that_fails_costs_no_other(tmp_path: Path, elsewhere: None) -> None:
    files = [write(tmp_path, name, training={"lr": lr}) for name, lr in (("a", 0.01), ("b", 0.02), ("c", 0.03))]

    def breaks(folder: Path) -> None:
        if folder.parent.name == "b" or str(folder).endswith("c/seed1"):
            raise OSError("the disk is full")

    found = compare(files, tmp_path / "out", [0, 1], say=quietly, train=Here(breaks))
    by_name = {system["name"]: system for system in found["systems"]}
    assert by_name["b"]["failed"] == {"0": "the disk is full", "1": "the disk is full"}
    assert by_name["c"]["failed"] == {"1": "the disk is full"} and len(by_name["c"]["scores"]["miou"]["per_seed"]) == 1
    assert comparison.failures(found) == [f"{at}: the disk is full" for at in ("b, seed 0", "b, seed 1", "c, seed 1")]
    assert {len(d["per_seed"]) for d in found["differences"] if d["system"] == "c"} == {1}
    assert not any(d["system"] == "b" for d in found["differences"])
    text = (tmp_path / "out" / "compare.md").read_text()
    assert "| b (failed: seed 0, 1) | failed | failed |" in text and "- Failed: c, seed 1: the disk is full" in text
    train = Here()
    again = compare(files, tmp_path / "out", [0, 1], say=quietly, train=train)
    assert [name for name, _ in train.trained] == ["b/seed0", "b/seed1", "c/seed1"]
    assert comparison.failures(again) == []


def test_the_command_fails_where_a_training_did(tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [write(tmp_path, name, training={"lr": lr}) for name, lr in (("a", 0.01), ("b", 0.02))]

    def breaks(folder: Path) -> None:
        if folder.parent.name == "b":
            raise OSError("the disk is full")

    monkeypatch.setattr("temporalkd.experiments.comparison.compare", partial(compare, train=Here(breaks)))
    _, err = call("compare", *files, "--seeds", 1, "-o", "out", code=1)
    assert err.splitlines()[-1].startswith("error: 1 training(s) failed") and "b, seed 0: the disk is full" in err
    assert "| b (failed: seed 0) |" in Path("out/compare.md").read_text()


# The command


def test_end_to_end(tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    command = [
        "compare",
        write(tmp_path, "a"),
        "--seeds",
        1,
        "--first-seed",
        7,
        "--set",
        "training.steps=3",
        "-o",
        "out",
    ]
    _, err = call(*command)
    assert "wrote out/compare.md" in err
    found = json.loads((tmp_path / "out" / "compare.json").read_text())
    folder = tmp_path / "out" / "a" / "seed7"
    assert shares(found)["a"]["miou"]["per_seed"]["7"] == results(call("evaluate", folder, "--json")[0])[0]["miou"]
    assert yaml.safe_load((folder / "config.yaml").read_text())["seed"] == 7
    (attempt,) = json.loads((folder / "resources.json").read_text())["attempts"]
    assert 100 < attempt["peak_mib"] < 5000 and attempt["cpu_seconds"] > 0
    assert "training" not in call(*command)[1]


# Rows of an ablation


def test_rows_replace_a_config_by_its_methods_ablation(tmp_path: Path, elsewhere: None) -> None:
    teacher = {"weights": "teacher/student.safetensors"}
    files = write_three(tmp_path)[:1]
    files += [write(tmp_path, "condensed", teacher=teacher, method={"name": "fckd", "tau": 2.0, "mode": "hard"})]
    train = Here()
    found = compare(files, tmp_path / "out", [0], rows=True, say=quietly, train=train)
    own = METHODS["fckd"].rows
    students = [s["name"] for s in found["systems"] if s["kind"] == "student"]
    assert students == ["plain", *(f"condensed: {row}" for row in own)]
    for row, options in own.items():
        method = load(tmp_path / "out" / "condensed" / slug(row) / "seed0" / "config.yaml").method.model_dump()
        assert method["tau"] == 2.0 and method["mode"] == options.get("mode", "hard")
        assert {key: method[key] for key in options} == options
    assert len({json.dumps(s["scores"]["miou"]) for s in found["systems"] if s["name"].startswith("cond")}) > 3


def test_other_labels_are_told(tmp_path: Path) -> None:
    files = [write(tmp_path, "all"), write(tmp_path, "some", data={"semi": {"labelled": 0.5}})]
    (note,) = unequal(entries(files, [], rows=False))
    assert note.startswith("data.semi is null in all; {") and '"labelled": 0.5' in note


def test_every_row_of_every_method_is_a_config() -> None:
    assert {name for name, method in METHODS.items() if not method.rows} == {"baseline", "kd"}
    for method, rows in ((name, options.rows) for name, options in METHODS.items()):
        values = tiny_config(data={"frames": 3}, teacher={"weights": "w"})
        for row, options in rows.items():
            made = parse(values | {"method": {"name": method} | options}, row).method.model_dump()
            assert {key: made[key] for key in options} == options
        assert len({slug(row) for row in rows}) == len(rows) and all(map(slug, rows))
    assert run_main(["config", "check", str(ROOT / "configs/street/etc.yaml")]) == 0


def test_equal_minutes_give_each_its_steps_and_are_kept(
    tmp_path: Path, elsewhere: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    footage = {**STREET, "length": 3, "seed": 5}
    _, _, _ = write_three(tmp_path)
    weights = str(tmp_path / "teacher" / "student.safetensors")
    recipe = write(
        tmp_path,
        "recipe",
        data={"unlabelled": footage},
        teacher={"weights": weights, "store": True},
        method={"name": "footage", "own": 0},
    )
    files = [tmp_path / "plain.yaml", recipe]
    paces = {"plain": (0.5, 0.0), "recipe": (1.0, 1.0)}
    real, told = pace._costs, []

    def costs(configs: Any, say: Any) -> Any:
        told.append([config.name for config in configs])
        measured = real(configs, say)
        assert all(step > 0 for step, _ in measured)
        assert [store > 0 for _, store in measured] == [config.name == "recipe" for config in configs]
        return [paces[config.name] for config in configs]

    monkeypatch.setattr(pace, "_costs", costs)
    trains = Here()
    found = compare(files, tmp_path / "out", [4], say=quietly, train=trains, minutes=[0.05, 0.1])
    budgets = {s["name"]: s["budget"]["steps"] for s in found["systems"] if s["kind"] == "student"}
    assert budgets == {"plain, 0.05 min": 6, "recipe, 0.05 min": 2, "plain, 0.1 min": 12, "recipe, 0.1 min": 5}
    assert told == [["plain", "recipe"]]
    for path, name in (("plain/0.1min", "plain, 0.1 min"), ("recipe/0.05min", "recipe, 0.05 min")):
        folder = tmp_path / "out" / path / "seed4"
        assert load(folder / "config.yaml").training.steps == budgets[name]
        assert json.loads((folder / "budget.json").read_text())["steps"] == budgets[name]
        assert len([line for line in (folder / "log.jsonl").read_text().splitlines() if "loss" in line]) > 0
    pairs = {(d["system"], d["minus"]) for d in found["differences"] if "EMA" not in d["system"]}
    assert pairs == {(f"recipe, {m} min", f"plain, {m} min") for m in ("0.05", "0.1")}, "of the same minutes"
    lines = curves.points(found, "miou")
    assert {name: [point[0] for point in line] for name, line in lines.items()} == {key: [0.05, 0.1] for key in paces}
    picture = cv2.imread(str(tmp_path / "out" / "curves.png"))
    assert picture is not None and {(180, 119, 31), (40, 39, 214)} <= set(map(tuple, picture.reshape(-1, 3).tolist()))
    text = (tmp_path / "out" / "compare.md").read_text()
    assert "curves.png" in text and "recipe, 0.05 min: 2 steps of 1.00 s and 1 s for the teacher's store" in text

    monkeypatch.setattr(pace, "_costs", lambda configs, say: pytest.fail("timed again") if configs else [])
    again = Here()
    assert shares(compare(files, tmp_path / "out", [4], say=quietly, train=again, minutes=[0.05, 0.1])) == shares(found)
    assert again.trained == []


def test_too_few_minutes_are_refused(tmp_path: Path, elsewhere: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "_costs", lambda configs, say: [(2.0, 100.0)])
    with pytest.raises(ValueError, match=r"--minutes 1: too few for plain: 100 s .* store and 2\.00 s a step"):
        compare([write(tmp_path, "plain")], tmp_path / "out", [4], say=quietly, train=Here(), minutes=[1])


def test_a_row_that_changes_nothing_is_left_out(tmp_path: Path) -> None:
    file = write(tmp_path, "recipe", teacher={"weights": "none"}, method={"name": "footage"})
    assert "recipe: without motion" not in [entry.name for entry in entries([file], [], rows=True)]
    with_motion = entries([file], ["method.motion=0.3", "data.frames=2"], rows=True)
    assert "recipe: without motion" in [entry.name for entry in with_motion]
