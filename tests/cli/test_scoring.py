"""`evaluate` and `consistency`: protocols, flows and formats side by side; class maps as they come; the cache."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from PIL import Image

import flow
from flow import FlowEstimator
from temporalkd.config import Protocol
from temporalkd.data.label_maps import read_map, resize_map, write_map
from temporalkd.data.palettes import palette
from temporalkd.evaluation import SHARES
from tests.cli_support import LENGTH, SIZE, World, as_shown, results

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


def test_protocols_named_one_by_one_are_those_of_all(world: World, call: Call) -> None:
    every = scored(call, world, world.labels, "--protocol", "all")
    named = [word for name in ("vspw2021", "visible", "vspw2021") for word in ("--protocol", name)]
    assert scored(call, world, world.labels, *named) == [every[3], every[0]], "as asked for, each once"
    assert len(every) == len(PROTOCOLS) and len({r["consistency"] for r in every}) == len(PROTOCOLS)


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
    assert err.startswith("error: --json and --csv: either one or the other")


def test_moving_average_beside_the_network(world: World, call: Call) -> None:
    plain = results(call("evaluate", world.run, "--json")[0])
    rows = {r["system"]: r for r in results(call("evaluate", world.run, "--ema", "0.8", "--json")[0])}
    assert list(rows) == ["run", "run EMA 0.8", "ceiling", "floor", "constant"]
    assert [rows[r["system"]] for r in plain] == plain, "the others stay what they are"
    assert rows["run EMA 0.8"]["warp_error"] < rows["run"]["warp_error"]
    still = {r["system"]: r for r in results(call("evaluate", world.run, "--ema", "0", "--json")[0])}
    assert still["run EMA 0"] == still["run"] | {"system": "run EMA 0"}


@pytest.mark.parametrize("width", [80, 160])
def test_the_tables_show_every_number(world: World, call: Call, monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    command = ["evaluate", world.run, "--protocol", "all", "--flow", "exact", "--flow", "dis", "--ema", "0.8"]
    rows = results(call(*command, "--json")[0])
    out, _ = call(*command)
    assert max(map(len, out.splitlines())) <= width and "…" not in out
    lines = [line.split() for line in as_shown(out).splitlines()]

    def shown(row: dict[str, Any], *keys: str) -> list[str]:
        return [row["flow"], *("-" if row[key] is None else f"{row[key]:.2f}" for key in keys)]

    def beside(row: dict[str, Any], cells: list[str]) -> bool:
        name = row["system"].split()  # a long one goes on below
        return any(line[0] == name[0] and line[-len(cells) :] == cells for line in lines if line)

    for at, row in enumerate(rows):
        if row["protocol"] == "visible":
            accuracy = shown(row, "miou", "macc", "boundary_iou", "flip_rate", "flip_interior", "gated")
            assert beside(row, accuracy), accuracy
            assert beside(row, shown(row, "right_twice", "warp_error"))
            of_all = [rows[at + 5 * p] for p in range(len(PROTOCOLS))]
            assert beside(row, [row["flow"], *(f"{r['consistency']:.2f}" for r in of_all)])
    words = " ".join(as_shown(out).split())
    dis = next(r for r in rows if r["flow"] == "dis")
    assert f"flow dis {dis['fingerprint'].split('-')[1][:8]} (coverage {dis['coverage']:.1f})" in words
    assert all(f"{p}" in words for p in PROTOCOLS) and "run EMA 0.8" in words


# Names


def test_a_system_is_called_by_its_whole_folder(world: World, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(world.run, "weight-0.25")
    assert results(call("evaluate", "weight-0.25", "--json")[0])[0]["system"] == "weight-0.25"
    monkeypatch.chdir("weight-0.25")
    assert results(call("evaluate", ".", "--json")[0])[0]["system"] == "weight-0.25"
    monkeypatch.chdir(world.labels)
    arguments = ["--frames", world.frames, "--predictions", ".", "--flow", "zero", "--json"]
    assert results(call("consistency", *arguments)[0])[0]["system"] == "labels"


@pytest.mark.parametrize("name", ["ceiling", "floor", "constant"])
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


def test_sixteen_bit_and_palette_images_are_maps(world: World, call: Call, tmp_path: Path) -> None:
    def with_colours(values: np.ndarray) -> Image.Image:
        picture = Image.fromarray(values)
        picture.putpalette([c for i in range(256) for c in (i, 255 - i, 7)])
        assert picture.mode == "P"
        return picture

    expected = scored(call, world, world.labels)
    for name, make in (("deep", lambda v: Image.fromarray(v.astype(np.uint16))), ("indexed", with_colours)):
        assert scored(call, world, remade(world, tmp_path / name, make)) == expected, name


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


def test_the_palette_says_how_many_classes_there_are(world: World, call: Call) -> None:
    """A class of the palette that is nowhere counts neither for nor against."""
    (row,) = scored(call, world, world.labels, "--palette", "voc")
    assert len(row["per_class"]["consistency"]) == 21
    (plain,) = scored(call, world, world.labels)
    assert row["consistency"] == plain["consistency"]


@pytest.mark.parametrize("size", [(32, 40), (53, 61), (200, 90)])
def test_resize_is_nearest_neighbour_beforehand(
    world: World, call: Call, tmp_path: Path, size: tuple[int, int]
) -> None:
    for folder in ("other", "beforehand"):
        (tmp_path / folder).mkdir()
    for path in world.labels.iterdir():
        other = resize_map(read_map(path), size)
        write_map(tmp_path / "other" / path.name, other)
        rows, columns = (((torch.arange(n) + 0.5) * old / n).long() for n, old in zip(SIZE, size))
        write_map(tmp_path / "beforehand" / path.name, other[rows][:, columns])
    expected = scored(call, world, tmp_path / "beforehand")
    assert scored(call, world, tmp_path / "other", "--resize") == expected
    assert scored(call, world, tmp_path / "beforehand", "--resize") == expected, "what fits stays"
    arguments = ["--frames", world.frames, "--predictions", tmp_path / "other", "--flow", "dis"]
    _, err = call("consistency", *arguments, code=1)
    assert f"the prediction is {size[1]}x{size[0]}, expected 80x64 like its frame" in err


# The cache


def entries(cache: Path) -> list[Path]:
    """Files of flow, not the digests of frames."""
    return sorted(p for p in cache.rglob("*.flow") if p.stat().st_size > 1000)


@pytest.mark.parametrize("damage", ["truncated", "of another estimator", "no flow"])
def test_a_cache_that_is_damaged_costs_a_line(world: World, call: Call, tmp_path: Path, damage: str) -> None:
    arguments = ["--frames", world.frames, "--predictions", world.labels, "--json"]
    other, _ = call("consistency", *arguments, "--flow", "zero")
    of_zero = entries(tmp_path / "cache")
    expected, err = call("consistency", *arguments, "--flow", "dis")
    assert err == "" and expected != other
    path = next(p for p in entries(tmp_path / "cache") if b"visible" in p.read_bytes() and p not in of_zero)
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:-100])
    elif damage == "of another estimator":
        path.write_bytes(next(p for p in of_zero if b"visible" in p.read_bytes()).read_bytes())
    else:
        path.write_bytes(b"a letter to a friend")
    out, err = call("consistency", *arguments, "--flow", "dis")
    assert out == expected
    assert len(err.splitlines()) == 1, err
    assert err.startswith(f"warning: flow cache: {path} is not usable and is computed again: ")
    assert call("consistency", *arguments, "--flow", "dis") == (expected, "")


def test_many_damaged_files_cost_two_lines(world: World, call: Call, tmp_path: Path) -> None:
    arguments = ["consistency", "--frames", world.frames, "--predictions", world.labels, "--flow", "dis", "--json"]
    expected, _ = call(*arguments)
    files = sorted((tmp_path / "cache").rglob("*.flow"))
    for path in files:
        path.write_bytes(b"nothing")
    out, err = call(*arguments)
    first, more = err.splitlines()
    assert out == expected and first.startswith("warning: flow cache: ")
    assert more.startswith(f"warning: {len(files) - 1} more like it: flow cache: ")


def test_a_cache_that_cannot_be_written_is_gone_without(
    world: World, call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def full(path: Path, content: bytes) -> None:
        raise OSError(28, "No space left on device", str(path))

    arguments = ["consistency", "--frames", world.frames, "--predictions", world.labels, "--flow", "dis", "--json"]
    with monkeypatch.context() as patched:
        patched.setattr("flow.store.write_whole", full)
        out, err = call(*arguments)
    first, more = err.splitlines()
    assert "could not be written, going on without: [Errno 28] No space left on device" in first
    assert more.startswith("warning: ") and " more like it: flow cache: ... could not be written" in more
    assert list((tmp_path / "cache").rglob("*.flow")) == []
    assert (out, "") == call(*arguments)


def test_debug_shows_where_a_warning_comes_from(world: World, call: Call, tmp_path: Path) -> None:
    arguments = ["consistency", "--frames", world.frames, "--predictions", world.labels, "--flow", "zero", "--json"]
    call(*arguments)
    for path in (tmp_path / "cache").rglob("*.flow"):
        path.write_bytes(b"nothing")
    with pytest.warns(UserWarning, match="not usable"):
        out, _ = call("--debug", *arguments)
    assert json.loads(out)
