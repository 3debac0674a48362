"""`evaluate` and `consistency`: protocols, flows and formats side by side; class maps as they come; the cache."""

from __future__ import annotations

import csv
import io
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from PIL import Image

import flow
from flow import FlowEstimator
from temporalkd.config import Protocol
from temporalkd.data.palettes import palette
from temporalkd.evaluation import SHARES
from temporalkd.models import load_segmenter, save_segmenter
from temporalkd.models.class_tables import TABLES
from tests.cli_support import LENGTH, World, results

Call = Callable[..., tuple[str, str]]
PROTOCOLS = get_args(Protocol)


@pytest.fixture
def matched(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The estimator of every field that is computed."""
    seen: list[str] = []
    build = flow.build

    def counting(*arguments: Any) -> FlowEstimator:
        estimator = build(*arguments)
        match = estimator.match

        def count(source: Any, target: Any) -> Any:
            seen.append(estimator.name)
            return match(source, target)

        monkeypatch.setattr(estimator, "match", count)
        return estimator

    monkeypatch.setattr(flow, "build", counting)
    yield seen


def scored(call: Call, world: World, maps: Path, *more: object) -> list[dict[str, Any]]:
    """`consistency --json` along DIS flow, without the name of the folder."""
    arguments = ["--frames", world.frames, "--predictions", maps, "--flow", "dis", "--json"]
    return [row | {"system": ""} for row in results(call("consistency", *arguments, *more)[0])]


def remade(world: World, folder: Path, make: Callable[[np.ndarray], Image.Image]) -> Path:
    """The labels as other images."""
    folder.mkdir()
    for path in sorted(world.labels.iterdir()):
        make(np.array(Image.open(path))).save(folder / path.name)
    return folder


# Rows


def test_all_protocols_and_several_flows(world: World, call: Call, matched: list[str]) -> None:
    arguments = ["--frames", world.frames, "--predictions", world.labels, "--labels", world.labels]
    command = ["consistency", *arguments, "--protocol", "all", "--flow", "dis", "--flow", "zero"]
    out, err = call(*command, "--json")
    assert len(out.splitlines()) == 1 and err == ""
    rows = results(out)
    systems = ["labels", "ceiling", "floor", "constant"]
    assert [(r["flow"], r["protocol"], r["system"]) for r in rows] == [
        (f, p, s) for f in ("dis", "zero") for p in PROTOCOLS for s in systems
    ]
    fingerprints = {name: {r["fingerprint"] for r in rows if r["flow"] == name} for name in ("dis", "zero")}
    assert all(len(found) == 1 and found != {""} for found in fingerprints.values())
    assert fingerprints["dis"] != fingerprints["zero"]
    for row in rows:
        assert (row["size"], row["frames"]) == ("64x80", LENGTH)
        assert row["miou"] is not None and 0 < row["coverage"] <= 100
        assert set(SHARES) <= row.keys()
    assert matched.count("dis") == 2 * (LENGTH - 1), "once for all systems and protocols"
    matched.clear()
    assert call(*command, "--json")[0] == out
    assert "dis" not in matched, "the second time everything is on disk"


def test_csv_holds_what_json_holds(world: World, call: Call) -> None:
    command = ["evaluate", world.run, "--protocol", "all", "--flow", "exact", "--flow", "dis", "--ema", "0.8"]
    rows = results(call(*command, "--json")[0])
    out, err = call(*command, "--csv")
    lines = list(csv.DictReader(io.StringIO(out)))
    assert err == "" and len(lines) == len(rows) == 2 * len(PROTOCOLS) * 5
    for line, row in zip(lines, rows):
        assert None not in line.values() and None not in line
        for key in ("system", "protocol", "flow", "fingerprint", "size"):
            assert line[key] == row[key]
        assert {k: float(line[k]) if line[k] else None for k in SHARES} == {k: row[k] for k in SHARES}


@pytest.mark.parametrize("command", ["evaluate", "consistency"])
def test_json_and_csv_at_once_are_refused_before_anything_is_read(call: Call, command: str) -> None:
    arguments = ["nowhere"] if command == "evaluate" else ["--frames", "nowhere", "--predictions", "nowhere"]
    out, err = call(command, *arguments, "--json", "--csv", code=2)
    assert out == "" and len(err.splitlines()) == 1
    assert err.startswith("error: --json and --csv")


def test_moving_average_beside_the_network(world: World, call: Call) -> None:
    plain = results(call("evaluate", world.run, "--json")[0])
    rows = {r["system"]: r for r in results(call("evaluate", world.run, "--ema", "0.8", "--json")[0])}
    assert list(rows) == ["run", "run EMA 0.8", "ceiling", "floor", "constant"]
    assert [rows[r["system"]] for r in plain] == plain, "the others stay what they are"
    assert rows["run EMA 0.8"]["warp_error"] < rows["run"]["warp_error"]
    still = {r["system"]: r for r in results(call("evaluate", world.run, "--ema", "0", "--json")[0])}
    assert still["run EMA 0"] == still["run"] | {"system": "run EMA 0"}


# Names


@pytest.mark.parametrize("name", ["ceiling"])
def test_a_system_that_is_called_like_a_reference_is_refused(world: World, call: Call, name: str) -> None:
    shutil.copytree(world.run, name)
    for command in (["evaluate", name], ["report", name, "-o", "page.html"]):
        out, err = call(*command, code=1)
        assert out == "" and err == f"error: a system is called '{name}' like a reference: give it another name\n"
    assert not Path("page.html").exists()
    shutil.rmtree(name)
    shutil.copytree(world.labels, name)
    arguments = ["consistency", "--frames", world.frames, "--predictions", name, "--flow", "zero"]
    _, err = call(*arguments, "--labels", world.labels, code=1)
    assert f"'{name}' like a reference" in err
    (row,) = results(call(*arguments, "--json")[0])  # without labels there are no references
    assert row["system"] == name and row["flip_rate"] is not None


# Maps as they come


@pytest.mark.parametrize("colours", ["camvid", "file"])
def test_maps_in_colours_give_the_numbers_of_their_indices(
    world: World, call: Call, tmp_path: Path, colours: str
) -> None:
    if colours == "file":
        lines = [f"{40 * i % 256} {90 * i % 256} {i} class-{i}" for i in range(9)]
        (tmp_path / "mine.txt").write_text("# a comment\n\n" + "\n".join(lines))
        colours = "mine.txt"
    known = palette(colours)
    table = np.array(known.colours, np.uint8)
    coloured = remade(world, tmp_path / "coloured", lambda v: Image.fromarray(table[v]))
    labels = ["--labels", world.labels, "--classes", len(known), "--protocol", "all"]
    expected = scored(call, world, world.labels, *labels)
    assert scored(call, world, coloured, "--palette", colours, *labels) == expected
    assert scored(call, world, world.labels, "--palette", colours, *labels) == expected, "indices stay indices"
    labels[1] = coloured
    assert scored(call, world, coloured, "--palette", colours, *labels) == expected, "labels in colours, too"


# The cache


# Classes and disturbed frames


@pytest.mark.parametrize("table", [None, "reversed"])
def test_networks_of_other_classes_are_scored_by_their_names(
    world: World, call: Any, monkeypatch: pytest.MonkeyPatch, table: str | None
) -> None:
    """The same network with its outputs in another order scores the same; one of other names by a table."""
    plain, spec = load_segmenter(world.run / "student.safetensors")
    names = spec.class_names[::-1] if table is None else tuple(f"other {name}" for name in spec.class_names[::-1])
    if table is not None:
        monkeypatch.setitem(TABLES, table, dict(zip(names, spec.class_names[::-1])))
    turned = plain.clone()
    with torch.no_grad():
        for value in turned.network.head.parameters():
            value.copy_(value.flip(0))
    save_segmenter(turned, replace(spec, class_names=names), Path("turned.safetensors"), {})
    arguments = ["--data", world.run / "config.yaml", *(["--class-table", table] if table else []), "--json"]
    out, err = call("evaluate", world.run, "turned.safetensors", *arguments)
    one, other = results(out)[:2]
    numbers = ("miou", "boundary_iou", "consistency", "flip_rate", "flip_interior")
    assert [other[key] for key in numbers] == [one[key] for key in numbers]
    assert "turned" in err


def test_networks_under_disturbance(world: World, call: Call) -> None:
    command = ["evaluate", world.run, f"maps={world.labels}", "--disturb", "noise,gamma", "--disturb", "noise"]
    plain = results(call(*command[:3], "--json")[0])
    out, err = call(*command, "--json")
    rows = results(out)
    assert "no disturbance of maps" in err
    assert [row for row in rows if not row["disturbance"]] == plain
    disturbed = [(r["system"], r["disturbance"], r["strength"]) for r in rows if r["disturbance"]]
    assert disturbed == [("run", kind, strength) for kind in ("noise", "gamma") for strength in (0.5, 1, 2)]
    lines = list(csv.DictReader(io.StringIO(call(*command, "--csv")[0])))
    assert [(line["disturbance"], float(line["strength"])) for line in lines] == [
        (row["disturbance"], row["strength"]) for row in rows
    ]
    text, _ = call(*command)
    assert "Under disturbance" in text and "run, gamma 0.5" in text
    frames = ["--frames", world.frames, "--flow", "zero", "--disturb", "blur", "--json"]
    assert [r["disturbance"] for r in results(call("consistency", world.run, *frames)[0])] == ["", *["blur"] * 3]


def test_class_maps_and_unknown_kinds_of_disturbance_are_refused(world: World, call: Call) -> None:
    frames = ["--frames", world.frames, "--flow", "zero"]
    out, err = call("consistency", world.labels, *frames, "--disturb", "noise", code=1)
    assert out == "" and err.startswith("error: --disturb: labels: class maps are made already")
    out, err = call("consistency", world.run, *frames, "--disturb", "noise,rain", code=2)
    assert out == "" and "'rain', expected one of blur," in err


def test_perceptual_consistency_by_the_features_of_a_run(world: World, call: Call) -> None:
    command = ["evaluate", world.run, f"maps={world.labels}", "--perceptual", world.run]
    rows = {r["system"]: r for r in results(call(*command, "--json")[0])}
    assert {r["features"] for r in rows.values()} == {str(world.run)}
    assert rows["constant"]["perceptual"] == 100 and rows["run"]["perceptual"] <= 100
    assert "perceptual" in call(*command)[0] and "perceptual" not in call(*command[:3])[0]
    frames = ["--frames", world.frames, "--flow", "zero", "--perceptual", "nowhere", "--json"]
    assert "nowhere" in call("consistency", world.labels, *frames, code=1)[1]
